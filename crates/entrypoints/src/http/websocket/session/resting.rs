//! A session that only reads: a shard writes, and gives the socket back when there is more to it.
use super::Session;
use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture};
use tidegate_gateway::{
    follower::Follower,
    shard::{Io, Keeper, Member, Returned},
};

struct Resting {
    session: Session,
    follower: Follower,
}
impl Keeper for Resting {
    fn follower(&mut self) -> &mut Follower {
        &mut self.follower
    }
    fn take_back(self: Box<Self>, returned: Returned) -> BoxFuture<'static, ()> {
        let Self { mut session, follower } = *self;
        let Returned {
            io,
            rest,
            owed,
            read,
            pulse,
            stalled,
        } = returned;
        async move {
            // What it did not take for so long it will not take now.
            if !stalled {
                session.pulse = pulse;
                session.subscription = Some(follower);
                session.run(io, read, rest, owed).await;
            }
        }
        .boxed()
    }
}
impl Session {
    /// It is one of many from now on.
    pub(super) fn rest(self, follower: Follower, io: Box<dyn Io>) {
        let shards = self.shards.clone();
        let (manners, pulse) = (self.manners, self.pulse);
        let resting = Box::new(Resting { session: self, follower });
        if let Some(member) = Member::new(io, Bytes::new(), resting, manners, pulse) {
            shards.attach(member);
        }
    }
}
