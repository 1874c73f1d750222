//! The server's side of WebSocket (RFC 6455) without I/O: the handshake, frames to write, and a reader fed with bytes as they come.
pub mod close;
pub mod frame;
pub mod fuzz;
pub mod handshake;
pub mod mask;
pub mod reader;

/// What a message says of its payload (section 5.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8, and checked to be.
    Text,
    /// Any bytes.
    Binary,
}
/// The opcodes there are (section 5.2). Others are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Opcode {
    Continuation = 0x0,
    Text = 0x1,
    Binary = 0x2,
    Close = 0x8,
    Ping = 0x9,
    Pong = 0xA,
}
impl Opcode {
    pub(crate) fn new(bits: u8) -> Option<Self> {
        Some(match bits {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xA => Self::Pong,
            _ => return None,
        })
    }
    pub(crate) fn is_control(self) -> bool {
        self as u8 & 0x8 != 0
    }
}
/// The most a control frame carries (section 5.5).
pub(crate) const CONTROL: usize = 125;
