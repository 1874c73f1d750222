//! What the catalog keeps of a group.
use super::GroupSpec;
use crate::le;
use bytes::BufMut;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) number: u32,
    pub(crate) stream: u32,
    pub(crate) created: i64,
    pub(crate) spec: GroupSpec,
    pub(crate) name: String,
}
/// Before the two names.
const HEAD: usize = 20;
impl Row {
    pub(crate) fn key(&self) -> [u8; 4] {
        self.number.to_le_bytes()
    }
    pub(crate) fn encode(&self) -> Vec<u8> {
        let dead = self.spec.dead_letters.as_deref().unwrap_or_default();
        let mut out = Vec::with_capacity(HEAD + dead.len() + self.name.len());
        out.put_slice(&[1, 0]);
        out.put_u16_le(dead.len() as u16);
        out.put_u32_le(self.stream);
        out.put_i64_le(self.created);
        out.put_u32_le(self.spec.deliveries.unwrap_or(0));
        out.put_slice(dead.as_bytes());
        out.put_slice(self.name.as_bytes());
        out
    }
    pub(crate) fn decode(key: &[u8], value: &[u8]) -> Option<Self> {
        let dead = usize::from(le::u16_at(value, 2)?);
        let text = |range: std::ops::Range<usize>| value.get(range).and_then(|bytes| std::str::from_utf8(bytes).ok());
        let named = text(HEAD..HEAD + dead)?;
        Some(Self {
            number: le::u32_at(key, 0)?,
            stream: le::u32_at(value, 4)?,
            created: le::i64_at(value, 8)?,
            spec: GroupSpec {
                deliveries: le::u32_at(value, 16).filter(|most| *most > 0),
                dead_letters: (dead > 0).then(|| named.to_owned()),
            },
            name: text(HEAD + dead..value.len())?.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_goes_there_and_back() {
        for (deliveries, dead_letters) in [(None, None), (Some(7), Some("orders.dead".to_owned()))] {
            let row = Row {
                number: 3,
                stream: 9,
                created: 5,
                spec: GroupSpec { deliveries, dead_letters },
                name: "$webhook/crm".to_owned(),
            };
            assert_eq!(Row::decode(&row.key(), &row.encode()), Some(row));
        }
        assert_eq!(Row::decode(&[1, 0, 0, 0], &[0; 10]), None);
    }
}
