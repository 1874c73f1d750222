/* Preloaded under a server: every fdatasync takes SYNC_MS milliseconds longer, and fails with EIO while the file SYNC_FAIL_IF is there. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

int fdatasync(int fd) {
    static int (*real)(int);
    if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    const char *wait = getenv("SYNC_MS");
    if (wait) {
        long ms = atol(wait);
        struct timespec time = { ms / 1000, (ms % 1000) * 1000000 };
        nanosleep(&time, 0);
    }
    const char *fail = getenv("SYNC_FAIL_IF");
    if (fail && access(fail, F_OK) == 0) {
        errno = EIO;
        return -1;
    }
    return real(fd);
}
