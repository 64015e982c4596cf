//! The cipher against RFC 3610, section 8: the twelve packet vectors with M = 8
//! (numbers 1 to 6 and 13 to 18; all have L = 2), for the very type that seals frames.

extern crate std;

use super::*;
use std::vec::Vec;

struct PacketVector {
    number: u8,
    key: &'static str,
    nonce: &'static str,
    header: &'static str,
    text: &'static str,
    sealed: &'static str,
}

/// Every bit is flipped; some of each vector's where Miri interprets, which takes a second for each.
const BITS_APART: usize = if cfg!(miri) { 43 } else { 1 };

fn bytes(hex: &str) -> Vec<u8> {
    hex.as_bytes()
        .chunks(2)
        .map(|pair| {
            let pair = core::str::from_utf8(pair).expect("vectors are ASCII");
            u8::from_str_radix(pair, 16).expect("vectors are hexadecimal")
        })
        .collect()
}

#[test]
fn seals_as_rfc_3610() {
    for vector in &PACKET_VECTORS {
        let key: KeyBytes = bytes(vector.key).try_into().expect("a key has 16 bytes");
        let nonce: NonceBytes = bytes(vector.nonce).try_into().expect("a nonce has 13 bytes");
        let mut text = bytes(vector.text);
        let tag = Cipher::new((&key).into())
            .encrypt_inout_detached(
                (&nonce).into(),
                &bytes(vector.header),
                text.as_mut_slice().into(),
            )
            .expect("short enough");
        text.extend_from_slice(&tag);
        assert_eq!(text, bytes(vector.sealed), "packet vector {}", vector.number);
    }
}

#[test]
fn opens_as_rfc_3610_and_nothing_else() {
    for vector in &PACKET_VECTORS {
        let key: KeyBytes = bytes(vector.key).try_into().expect("a key has 16 bytes");
        let nonce: NonceBytes = bytes(vector.nonce).try_into().expect("a nonce has 13 bytes");
        let header = bytes(vector.header);
        let sealed = bytes(vector.sealed);
        let open = |sealed: &[u8]| {
            let (text, tag) = sealed.split_at(sealed.len() - 8);
            let mut text = text.to_vec();
            let tag = tag.try_into().expect("a tag has 8 bytes");
            Cipher::new((&key).into())
                .decrypt_inout_detached((&nonce).into(), &header, text.as_mut_slice().into(), tag)
                .map(|()| text)
        };
        assert_eq!(open(&sealed), Ok(bytes(vector.text)), "packet vector {}", vector.number);
        for bit in (0..sealed.len() * 8).step_by(BITS_APART) {
            let mut flipped = sealed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&flipped).is_err(), "packet vector {}, bit {bit}", vector.number);
        }
    }
}

const PACKET_VECTORS: [PacketVector; 12] = [
    PacketVector {
        number: 1,
        key: "c0c1c2c3c4c5c6c7c8c9cacbcccdcecf",
        nonce: "00000003020100a0a1a2a3a4a5",
        header: "0001020304050607",
        text: "08090a0b0c0d0e0f101112131415161718191a1b1c1d1e",
        sealed: "588c979a61c663d2f066d0c2c0f989806d5f6b61dac38417e8d12cfdf926e0",
    },
    PacketVector {
        number: 2,
        key: "c0c1c2c3c4c5c6c7c8c9cacbcccdcecf",
        nonce: "00000004030201a0a1a2a3a4a5",
        header: "0001020304050607",
        text: "08090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
        sealed: "72c91a36e135f8cf291ca894085c87e3cc15c439c9e43a3ba091d56e10400916",
    },
    PacketVector {
        number: 3,
        key: "c0c1c2c3c4c5c6c7c8c9cacbcccdcecf",
        nonce: "00000005040302a0a1a2a3a4a5",
        header: "0001020304050607",
        text: "08090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20",
        sealed: "51b1e5f44a197d1da46b0f8e2d282ae871e838bb64da8596574adaa76fbd9fb0c5",
    },
    PacketVector {
        number: 4,
        key: "c0c1c2c3c4c5c6c7c8c9cacbcccdcecf",
        nonce: "00000006050403a0a1a2a3a4a5",
        header: "000102030405060708090a0b",
        text: "0c0d0e0f101112131415161718191a1b1c1d1e",
        sealed: "a28c6865939a9a79faaa5c4c2a9d4a91cdac8c96c861b9c9e61ef1",
    },
    PacketVector {
        number: 5,
        key: "c0c1c2c3c4c5c6c7c8c9cacbcccdcecf",
        nonce: "00000007060504a0a1a2a3a4a5",
        header: "000102030405060708090a0b",
        text: "0c0d0e0f101112131415161718191a1b1c1d1e1f",
        sealed: "dcf1fb7b5d9e23fb9d4e131253658ad86ebdca3e51e83f077d9c2d93",
    },
    PacketVector {
        number: 6,
        key: "c0c1c2c3c4c5c6c7c8c9cacbcccdcecf",
        nonce: "00000008070605a0a1a2a3a4a5",
        header: "000102030405060708090a0b",
        text: "0c0d0e0f101112131415161718191a1b1c1d1e1f20",
        sealed: "6fc1b011f006568b5171a42d953d469b2570a4bd87405a0443ac91cb94",
    },
    PacketVector {
        number: 13,
        key: "d7828d13b2b0bdc325a76236df93cc6b",
        nonce: "00412b4ea9cdbe3c9696766cfa",
        header: "0be1a88bace018b1",
        text: "08e8cf97d820ea258460e96ad9cf5289054d895ceac47c",
        sealed: "4cb97f86a2a4689a877947ab8091ef5386a6ffbdd080f8e78cf7cb0cddd7b3",
    },
    PacketVector {
        number: 14,
        key: "d7828d13b2b0bdc325a76236df93cc6b",
        nonce: "0033568ef7b2633c9696766cfa",
        header: "63018f76dc8a1bcb",
        text: "9020ea6f91bdd85afa0039ba4baff9bfb79c7028949cd0ec",
        sealed: "4ccb1e7ca981befaa0726c55d378061298c85c92814abc33c52ee81d7d77c08a",
    },
    PacketVector {
        number: 15,
        key: "d7828d13b2b0bdc325a76236df93cc6b",
        nonce: "00103fe41336713c9696766cfa",
        header: "aa6cfa36cae86b40",
        text: "b916e0eacc1c00d7dcec68ec0b3bbb1a02de8a2d1aa346132e",
        sealed: "b1d23a2220ddc0ac900d9aa03c61fcf4a559a4417767089708a776796edb723506",
    },
    PacketVector {
        number: 16,
        key: "d7828d13b2b0bdc325a76236df93cc6b",
        nonce: "00764c63b8058e3c9696766cfa",
        header: "d0d0735c531e1becf049c244",
        text: "12daac5630efa5396f770ce1a66b21f7b2101c",
        sealed: "14d253c3967b70609b7cbb7c499160283245269a6f49975bcadeaf",
    },
    PacketVector {
        number: 17,
        key: "d7828d13b2b0bdc325a76236df93cc6b",
        nonce: "00f8b678094e3b3c9696766cfa",
        header: "77b60f011c03e1525899bcae",
        text: "e88b6a46c78d63e52eb8c546efb5de6f75e9cc0d",
        sealed: "5545ff1a085ee2efbf52b2e04bee1e2336c73e3f762c0c7744fe7e3c",
    },
    PacketVector {
        number: 18,
        key: "d7828d13b2b0bdc325a76236df93cc6b",
        nonce: "00d560912d3f703c9696766cfa",
        header: "cd9044d2b71fdb8120ea60c0",
        text: "6435acbafb11a82e2f071d7ca4a5ebd93a803ba87f",
        sealed: "009769ecabdf48625594c59251e6035722675e04c847099e5ae0704551",
    },
];
