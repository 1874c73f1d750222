//! Delayed messages: they wait on disk, in a stream of their own, and move to the streams that capture their topic when they are due. The
//! move and the mark that it was made are durable together, so none is lost and none comes twice.
use super::{House, again::Second, group::FromGroup};
use std::{sync::Arc, time::Duration};
use tidegate_core::{
    clock,
    delivery::Received,
    endpoint::{Consumer, Limit, Start},
    error::{Code, Error, Fault, Result, Retry},
    message::{Message, Timing},
    receipt::{Level, Receipt},
    settle::{Ack, Outcome},
};
use tidegate_log::{Append, Entry, GroupSpec, Keep, Manner, Retention, Stream, StreamSpec};
use tokio::{
    sync::{Notify, OnceCell},
    time::Instant,
};

/// Its name; no resource can be called so. Its group is called so too.
pub const LATER: &str = "$later";
/// How many may wait: each is remembered in memory, with its time.
const MOST: u64 = 100_000;
/// How long what could not be moved waits.
const AGAIN: Duration = Duration::from_secs(1);
const WINDOW: Limit = Limit {
    messages: 1_024,
    bytes: 8 << 20,
};

/// The stream, once anybody needs it.
#[derive(Default)]
pub(super) struct Later {
    stream: OnceCell<Arc<Stream>>,
    made: Notify,
}
impl Later {
    /// Where a delayed message goes.
    pub(super) async fn stream(&self, house: &House) -> Result<&Arc<Stream>> {
        let stream = self.stream.get_or_try_init(|| open(house)).await?;
        self.made.notify_one();
        if house
            .log
            .find_group(stream, LATER)
            .is_some_and(|group| group.stats().pending >= MOST)
        {
            let full = Error::new(Code::Overloaded, Fault::Gateway, format!("{MOST} delayed messages are waiting"));
            return Err(full.with_retry(Retry::After(Duration::from_mins(1))));
        }
        Ok(stream)
    }
}
async fn open(house: &House) -> Result<Arc<Stream>> {
    let log = &house.log;
    let spec = StreamSpec {
        retention: Retention::default(),
        dedupe: Duration::from_mins(2),
        keep: Keep::UntilAcked,
        ..StreamSpec::default()
    };
    let stream = match log.stream(LATER) {
        Some(stream) => stream,
        None => log.create_stream(LATER, spec).await?,
    };
    // Before the first message: it must find its group.
    log.group(&stream, LATER, Start::Earliest, GroupSpec::default()).await?;
    Ok(stream)
}
/// Moves what is due, until dropped.
pub(super) async fn run(house: Arc<House>) {
    if house.log.stream(LATER).is_none() {
        house.later.made.notified().await;
    }
    loop {
        if let Err(error) = carry(&house).await {
            tracing::warn!(error = %error, "delayed messages wait longer");
        }
        if matches!(house.log.status(), tidegate_log::Status::ReadOnly { .. }) {
            return;
        }
        tokio::time::sleep(AGAIN).await;
    }
}
async fn carry(house: &Arc<House>) -> Result<()> {
    let stream = house.later.stream.get_or_try_init(|| open(house)).await?;
    let group = log_group(house, stream).await?;
    let again = Second::new(house.clone(), group.clone(), (WINDOW, Manner::default())).await?;
    let mut consumer = FromGroup::new(house.log.member(&group, WINDOW, Manner::default()), again, Vec::new());
    while let Some(delivery) = consumer.next(WINDOW).await? {
        let (items, mut ack) = delivery.into_parts();
        let mut moving = Vec::new();
        for item in items {
            let Some(mut duty) = ack.take(item.slot) else { continue };
            let due = item.message.timing.as_ref().and_then(|timing| timing.due).unwrap_or(0);
            let wait = due.saturating_sub(clock::now_us());
            if wait > 0 {
                let until = Instant::now() + Duration::from_micros(wait as u64);
                duty.settle_all(Outcome::Hold { until });
                continue;
            }
            match go(house, &group, &item).await {
                Ok(receipt) => moving.push((duty, receipt)),
                Err(error) => settle(duty, Err(error)),
            }
        }
        for (duty, receipt) in moving {
            let kept = receipt.await;
            settle(
                duty,
                kept.and_then(|mut kept| kept.failed.pop().map_or(Ok(()), |(_, error)| Err(error))),
            );
        }
    }
    Ok(())
}
async fn log_group(house: &House, stream: &Arc<Stream>) -> Result<Arc<tidegate_log::Group>> {
    house.log.group(stream, LATER, Start::Earliest, GroupSpec::default()).await
}
fn settle(mut duty: Ack, result: Result<()>) {
    duty.settle_all(match result {
        Ok(()) => Outcome::Ack,
        Err(error) if error.retry() == Retry::No => Outcome::Reject {
            reason: "it could not be moved when it was due".into(),
            error: Some(error.to_string().into()),
        },
        Err(_) => Outcome::Requeue { after: Some(AGAIN) },
    });
}
/// To every stream that captures its topic now.
async fn go(house: &House, group: &Arc<tidegate_log::Group>, item: &Received) -> Result<Receipt> {
    let streams = house.captures.find(&item.message.topic);
    if streams.is_empty() {
        let text = format!("no stream captures topic {} any more", &*item.message.topic);
        return Err(Error::new(Code::NoSuchStream, Fault::Operator, text));
    }
    let Some(place) = item.position else {
        return Err(Error::new(Code::Internal, Fault::Gateway, "a delayed message has no place"));
    };
    let expires = item.message.timing.as_ref().and_then(|timing| timing.expires);
    let message = Arc::new(Message {
        timing: expires.map(|at| {
            Box::new(Timing {
                expires: Some(at),
                due: None,
            })
        }),
        ..Message::clone(&item.message)
    });
    // It was asked when it came; where it becomes something else it does so now.
    let shaped = house.shaped(&streams, &message).await?;
    let of = |at: usize| shaped.get(at).and_then(Option::as_ref).unwrap_or(&message);
    let bytes = (0..streams.len()).map(|at| Append::size(of(at))).sum();
    let mut append = house.log.append(Level::Stored, bytes).await?;
    // It was looked at for duplicates when it came.
    append.as_new();
    for (at, stream) in streams.iter().enumerate() {
        append.add(Entry {
            item: 0,
            stream,
            partition: match &message.key {
                Some(key) => stream.partition_of(key),
                None => (place.offset % u128::from(stream.partitions().max(1))) as u32,
            },
            message: of(at),
            scope: 0,
        });
    }
    append.and_done(group, place.partition, place.offset as u64);
    append.send()
}
