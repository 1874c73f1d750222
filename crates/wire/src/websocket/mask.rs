//! What a client does to its payloads (RFC 6455, section 5.3), and how it is undone: the same operation.

/// Masks or unmasks in place. `phase` is how many bytes of this payload came before these.
pub fn apply(bytes: &mut [u8], mask: [u8; 4], phase: usize) {
    let mut mask = mask;
    mask.rotate_left(phase % 4);
    let [a, b, c, d] = mask;
    // Eight at a time is what the compiler makes wide instructions of.
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (chunks, rest) = bytes.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip([a, b, c, d, a, b, c]) {
        *byte ^= mask;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_length_at_any_phase_is_masked_byte_by_byte() {
        let mask = [0x37, 0xfa, 0x21, 0x3d];
        for phase in 0..9 {
            for length in 0..70 {
                let plain: Vec<u8> = (0..length).map(|i| i as u8).collect();
                let expected: Vec<u8> = plain.iter().zip(phase..).map(|(byte, at)| byte ^ mask[at % 4]).collect();
                let mut bytes = plain.clone();
                apply(&mut bytes, mask, phase);
                assert_eq!(bytes, expected, "{length} bytes at {phase}");
                apply(&mut bytes, mask, phase);
                assert_eq!(bytes, plain);
            }
        }
    }
}
