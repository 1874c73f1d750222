//! A body in chunks (RFC 9112, section 7.1), byte by byte where lines are and at once where data is.
use super::{
    Refusal, Step as Taken,
    head::{is_control, is_token},
};

/// Digits of a size: more would not fit.
const DIGITS: u16 = 16;
/// Bytes between a size and its line's end.
const EXTENSION: u16 = 256;
/// Bytes of the trailer section, its line ends included.
const TRAILERS: u16 = 8 << 10;

/// Where in such a body the connection is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Chunked {
    step: Step,
    /// Digits, bytes of extensions or of trailers so far.
    counted: u16,
    /// The size as far as it was read, then what of the data is due.
    due: u64,
}
/// What comes next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Step {
    #[default]
    Size,
    /// After white space behind the size: only an extension may follow.
    Space,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// A trailer, or the empty line at the end.
    Line,
    Name,
    Value,
    ValueLf,
    EndLf,
    Done,
}
/// What follows what was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    More,
    Ended,
    Refused(Refusal),
}
impl Chunked {
    /// Takes lines, and the first run of data behind them.
    pub(super) fn read(&mut self, bytes: &[u8]) -> (Taken, Then) {
        let mut taken = 0;
        while let Some(rest) = bytes.get(taken..)
            && let Some(byte) = rest.first()
        {
            if self.step == Step::Data {
                let content = usize::try_from(self.due).unwrap_or(usize::MAX).min(rest.len());
                taken += content;
                self.due -= content as u64;
                if self.due == 0 {
                    self.step = Step::DataCr;
                }
                return (Taken { taken, content }, Then::More);
            }
            match self.after(*byte) {
                Ok(step) => self.step = step,
                Err(refusal) => return (Taken { taken, content: 0 }, Then::Refused(refusal)),
            }
            taken += 1;
            if self.step == Step::Done {
                return (Taken { taken, content: 0 }, Then::Ended);
            }
        }
        (Taken { taken, content: 0 }, Then::More)
    }
    fn after(&mut self, byte: u8) -> Result<Step, Refusal> {
        match (self.step, byte) {
            (Step::Size, _) if byte.is_ascii_hexdigit() => {
                self.count(DIGITS, Refusal::ChunkSize)?;
                self.due = self.due << 4 | u64::from(hexadecimal(byte));
                Ok(Step::Size)
            }
            (Step::Size, b'\r') if self.counted > 0 => Ok(Step::SizeLf),
            (Step::Size, b';' | b' ' | b'\t') if self.counted > 0 => {
                self.counted = 1;
                Ok(if byte == b';' { Step::Extension } else { Step::Space })
            }
            (Step::Space, b';' | b' ' | b'\t') => {
                self.count(EXTENSION, Refusal::ChunkExtension)?;
                Ok(if byte == b';' { Step::Extension } else { Step::Space })
            }
            (Step::Extension, b'\r') => Ok(Step::SizeLf),
            (Step::Extension, _) if !is_control(byte) => {
                self.count(EXTENSION, Refusal::ChunkExtension)?;
                Ok(Step::Extension)
            }
            (Step::SizeLf, b'\n') => {
                self.counted = 0;
                Ok(if self.due == 0 { Step::Line } else { Step::Data })
            }
            (Step::DataCr, b'\r') => Ok(Step::DataLf),
            (Step::DataLf, b'\n') => Ok(Step::Size),
            (Step::Line, b'\r') => Ok(Step::EndLf),
            (Step::EndLf, b'\n') => Ok(Step::Done),
            (Step::Line | Step::Name, _) if is_token(byte) => self.trailer(Step::Name),
            (Step::Name, b':') => self.trailer(Step::Value),
            (Step::Value, b'\r') => self.trailer(Step::ValueLf),
            (Step::Value, _) if !is_control(byte) => self.trailer(Step::Value),
            (Step::ValueLf, b'\n') => self.trailer(Step::Line),
            (Step::Size, _) => Err(Refusal::ChunkSize),
            (Step::Space | Step::Extension, _) => Err(Refusal::ChunkExtension),
            (Step::SizeLf, _) => Err(Refusal::ChunkLine),
            (Step::Data | Step::DataCr | Step::DataLf | Step::Done, _) => Err(Refusal::ChunkEnd),
            (Step::Line | Step::Name | Step::Value | Step::ValueLf | Step::EndLf, _) => Err(Refusal::Trailer),
        }
    }
    fn trailer(&mut self, step: Step) -> Result<Step, Refusal> {
        self.count(TRAILERS, Refusal::TrailersTooLarge)?;
        Ok(step)
    }
    fn count(&mut self, most: u16, refusal: Refusal) -> Result<(), Refusal> {
        if self.counted == most {
            return Err(refusal);
        }
        self.counted += 1;
        Ok(())
    }
}
/// Of a byte that is known to be a digit.
fn hexadecimal(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit & 0x0f) + 9,
    }
}
