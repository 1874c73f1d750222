//! Two hashes of fixed meaning: keys to partitions, ids to what is remembered of them.

/// MurmurHash3, 32 bits: what partition a key belongs to is part of the contract with clients.
pub(crate) fn murmur3(bytes: &[u8], seed: u32) -> u32 {
    let mix = |k: u32| k.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
    let (words, rest) = bytes.as_chunks::<4>();
    let mut h = seed;
    for word in words {
        h = (h ^ mix(u32::from_le_bytes(*word)))
            .rotate_left(13)
            .wrapping_mul(5)
            .wrapping_add(0xe654_6b64);
    }
    let tail = rest.iter().rev().fold(0u32, |k, b| (k << 8) | u32::from(*b));
    if !rest.is_empty() {
        h ^= mix(tail);
    }
    h ^= bytes.len() as u32;
    h = (h ^ (h >> 16)).wrapping_mul(0x85eb_ca6b);
    h = (h ^ (h >> 13)).wrapping_mul(0xc2b2_ae35);
    h ^ (h >> 16)
}

/// SipHash-2-4 with 128 bits of output: keyed, so that no client can choose ids that collide.
pub(crate) fn sip128(key: (u64, u64), bytes: &[u8]) -> u128 {
    let mut v = [
        key.0 ^ 0x736f_6d65_7073_6575,
        key.1 ^ 0x646f_7261_6e64_6f6d ^ 0xee,
        key.0 ^ 0x6c79_6765_6e65_7261,
        key.1 ^ 0x7465_6462_7974_6573,
    ];
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        absorb(&mut v, u64::from_le_bytes(*word));
    }
    let tail = rest.iter().rev().fold(bytes.len() as u64 & 0xff, |k, b| (k << 8) | u64::from(*b));
    // The length is the top byte of the last word: move it there.
    let shift = 8 * rest.len() as u32;
    let (length, low) = if shift == 0 {
        (tail, 0)
    } else {
        (tail >> shift, tail & ((1u64 << shift) - 1))
    };
    absorb(&mut v, (length << 56) | low);
    v[2] ^= 0xee;
    (0..4).for_each(|_| round(&mut v));
    let low = v[0] ^ v[1] ^ v[2] ^ v[3];
    v[1] ^= 0xdd;
    (0..4).for_each(|_| round(&mut v));
    let high = v[0] ^ v[1] ^ v[2] ^ v[3];
    u128::from(low) | u128::from(high) << 64
}
fn absorb(v: &mut [u64; 4], word: u64) {
    v[3] ^= word;
    round(v);
    round(v);
    v[0] ^= word;
}
fn round(v: &mut [u64; 4]) {
    v[0] = v[0].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(13) ^ v[0];
    v[0] = v[0].rotate_left(32);
    v[2] = v[2].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(16) ^ v[2];
    v[0] = v[0].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(21) ^ v[0];
    v[2] = v[2].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(17) ^ v[2];
    v[2] = v[2].rotate_left(32);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn murmur_is_the_published_one() {
        assert_eq!(murmur3(b"", 0), 0);
        assert_eq!(murmur3(b"", 1), 0x514e_28b7);
        assert_eq!(murmur3(&[0x21, 0x43, 0x65, 0x87], 0), 0xf55b_516b);
        assert_eq!(murmur3(&[0x21, 0x43, 0x65], 0), 0x7e4a_8634);
        assert_eq!(murmur3(b"Hello, world!", 0x9747_b28c), 0x2488_4cba);
    }
    #[test]
    fn sip_is_the_published_one() {
        let key = (0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908);
        let hex = |bytes: &[u8]| format!("{:032x}", sip128(key, bytes).swap_bytes());
        assert_eq!(hex(&[]), "a3817f04ba25a8e66df67214c7550293");
        assert_eq!(hex(&[0]), "da87c1d86b99af44347659119b22fc45");
        assert_eq!(hex(&[0, 1, 2, 3, 4, 5, 6]), "a1f1ebbed8dbc153c0b84aa61ff08239");
        assert_eq!(hex(&[0, 1, 2, 3, 4, 5, 6, 7]), "3b62a9ba6258f5610f83e264f31497b4");
    }
}
