//! Tidegate: one binary between everything that speaks HTTP and everything that speaks messages.

mod alarms;
mod backwards;
mod boot;
mod cli;
mod dead_letters;
mod deliveries;
mod groups;
mod holder;
mod inbox;
mod listeners;
mod memory;
mod memphis;
mod observe;
mod plane;
mod reconcile;
mod rlimit;
mod runtime;
mod schemas;
mod screen;
mod secrets;
mod serve;
mod watch;
mod ways;
mod webhooks;
mod whereabouts;

use std::process::ExitCode;

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    memory::in_small_pages();
    cli::run()
}
