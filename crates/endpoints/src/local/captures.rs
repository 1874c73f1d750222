//! Which streams capture a topic. Swapped whole when a stream comes, changes or goes.
use arc_swap::ArcSwap;
use smallvec::SmallVec;
use std::{collections::HashMap, sync::Arc};
use tidegate_core::filter::Filter;
use tidegate_hub::Trie;
use tidegate_log::Stream;

/// A stream always captures the topic of its own name.
#[derive(Default)]
pub struct Captures {
    now: ArcSwap<Table>,
}
#[derive(Default)]
struct Table {
    routes: Trie<Arc<Stream>>,
    filters: HashMap<u32, Box<[Filter]>>,
}
impl Captures {
    /// From now on.
    pub fn set(&self, streams: impl IntoIterator<Item = (Arc<Stream>, Vec<Filter>)>) {
        let mut table = Table::default();
        for (stream, mut filters) in streams {
            let own = Filter::new(stream.name()).filter(|own| !filters.contains(own));
            filters.extend(own);
            for filter in &filters {
                table.routes.insert(filter, stream.clone());
            }
            table.filters.insert(stream.number(), filters.into());
        }
        self.now.store(Arc::new(table));
    }
    /// By number, each once.
    pub fn find(&self, topic: &str) -> SmallVec<[Arc<Stream>; 1]> {
        let mut found = self.now.load().routes.find(topic);
        if found.len() > 1 {
            found.sort_unstable_by_key(|stream| stream.number());
            found.dedup_by_key(|stream| stream.number());
        }
        found
    }
    /// The lowest number of those that capture it.
    pub fn first(&self, topic: &str) -> Option<u32> {
        self.now.load().routes.find(topic).iter().map(|stream| stream.number()).min()
    }
    /// Whether the stream captures that topic and no other.
    pub fn holds_only(&self, stream: &Stream, topic: &str) -> bool {
        let table = self.now.load();
        table
            .filters
            .get(&stream.number())
            .is_some_and(|filters| filters.iter().all(|filter| filter.as_str() == topic))
    }
}
