//! Frames and keys that others published.

use super::crypto::{Crypto, code_of};
use super::frame::{DataUp, Frame};
use super::join::{Accept, seal};
use super::keys::{SessionKeys, derive};
use super::reading::{Uplink, read};
use super::{Eui, Offer, Plan, SecretKey, counter_in_clear};
use lorawan::keys::{CryptoFactory as _, Decrypter as _, Encrypter as _, Mac as _};

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal");
    (0..hex.len()).step_by(2).map(digit).collect()
}

fn key(hex: &str) -> SecretKey {
    SecretKey::from_bytes(bytes(hex).try_into().expect("16 bytes"))
}

fn data(bytes: &[u8]) -> DataUp<'_> {
    match Frame::parse(bytes) {
        Some(Frame::Data(frame)) => frame,
        _ => panic!("a data frame"),
    }
}

/// RFC 4493, section 4, examples 1 to 3.
#[test]
fn cmac_is_that_of_the_rfc() {
    let key = key("2b7e151628aed2a6abf7158809cf4f3c");
    let text = bytes(
        "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51\
         30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710",
    );
    for (length, code) in [
        (0, "bb1d6929e95937287fa37d129b756746"),
        (16, "070a16b46b4d4144f79bdd9dd04a287c"),
        (40, "dfa66747de9ae63030ca32611497c827"),
        (64, "51f0bebf7e3b9d92fc49741779363cfe"),
    ] {
        assert_eq!(code_of(&key, &text[..length]).to_vec(), bytes(code));
    }
}

/// FIPS 197, appendix C.1, and RFC 4493, example 2: what is made for the codec.
#[test]
fn the_codec_s_ciphers_are_those_of_the_standards() {
    let cipher_key = key("000102030405060708090a0b0c0d0e0f").for_codec();
    let [plain, sealed] =
        ["00112233445566778899aabbccddeeff", "69c4e0d86a7b0430d8cdb78070b4c55a"].map(bytes);
    let mut block = *<&[u8; 16]>::try_from(&plain[..]).expect("16 bytes");
    Crypto.new_enc(&cipher_key).encrypt_block((&mut block).into());
    assert_eq!(block.to_vec(), sealed);
    Crypto.new_dec(&cipher_key).decrypt_block((&mut block).into());
    assert_eq!(block.to_vec(), plain);
    let mut code = Crypto.new_mac(&key("2b7e151628aed2a6abf7158809cf4f3c").for_codec());
    code.input(b"what is taken back");
    code.reset();
    code.input(&bytes("6bc1bee22e409f96e93d7e117393172a"));
    assert_eq!(code.result().to_vec(), bytes("070a16b46b4d4144f79bdd9dd04a287c"));
}

/// The data frame in the README of anthonykirby/lora-packet.
#[test]
fn a_data_frame_is_read() {
    let keys = SessionKeys {
        network: key("44024241ed4ce9a68c6a8bc055233fd3"),
        application: key("ec925802ae430ca77fd3dd73cb2cc588"),
    };
    let good = bytes("40f17dbe4900020001954378762b11ff0d");
    let frame = data(&good);
    assert_eq!((frame.dev_addr(), frame.counter_low()), (0x49BE_7DF1, 2));
    assert!(frame.is_made_with(&keys, 2));
    let opened = frame.open(&keys, 2);
    assert_eq!(opened.payload, Some((1, b"test".to_vec())));
    assert!(!opened.confirmed && !opened.acknowledges && !opened.wants_answer);
    assert_eq!(counter_in_clear(&good), Some(2));
    assert_eq!(counter_in_clear(&good[..5]), None);

    // Without a gateway, and with one key for all: what it says is another text then.
    let with_half = |high| match read(&good, &keys.network, high) {
        Some(Uplink::Data { dev_addr, counter_low, genuine, payload: Some((port, text)) }) => {
            assert_eq!((dev_addr, counter_low, port, text.len()), (0x49BE_7DF1, 2, 1, 4));
            genuine
        }
        other => panic!("{other:?}"),
    };
    assert!(with_half(0) && !with_half(1));

    // Another counter's high half, and every single bit.
    assert!(!frame.is_made_with(&keys, 0x1_0002));
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        if let Some(Frame::Data(frame)) = Frame::parse(&bad) {
            assert!(!frame.is_made_with(&keys, 2), "bit {bit}");
        }
    }
}

/// A join on a live network, published in anthonykirby/lora-packet, issue 10; its session
/// keys by an independent implementation (runkit avbentem, "deciphering a LoRaWAN OTAA
/// join accept").
#[test]
fn a_join_is_answered_as_a_live_network_did() {
    let app_key = key("b6b53f4a168a7a88bdf7ea135ce9cfca");
    let request = bytes("00dc0000d07ed5b3701e6fedf57ceeaf0085cc587fe913");
    let Some(Frame::Join(request)) = Frame::parse(&request) else { panic!("a join request") };
    assert_eq!(request.dev_eui(), Eui(0x00AF_EE7C_F5ED_6F1E));
    assert_eq!(request.dev_eui().to_string(), "00afee7cf5ed6f1e");
    assert_eq!(request.join_eui(), Eui(0x70B3_D57E_D000_00DC));
    assert_eq!(request.dev_nonce(), 0xCC85);
    assert!(request.is_made_with(&app_key));
    assert!(!request.is_made_with(&key("b6b53f4a168a7a88bdf7ea135ce9cfcb")));

    let offer = Offer { join_nonce: 0xE5_063A, dev_nonce: 0xCC85, life: 0 };
    let net_id = 0x13;
    assert_eq!(derive(&app_key, 1, net_id, offer), key("2c96f7028184bb0be8aa49275290d4fc"));
    assert_eq!(derive(&app_key, 2, net_id, offer), key("f3a5c8f0232a38c144029c165865802c"));
    let plan = Plan::Eu868;
    // That network's second window is at SF9, ours at SF12 as every device has it.
    let accept = Accept { offer, net_id, dev_addr: 0x2601_2E43, plan, downlink_settings: 3 };
    let sealed = bytes("204dd85ae608b87fc4889970b7d2042c9e72959b0057aed6094b16003df12de145");
    assert_eq!(seal(&app_key, accept).as_bytes(), sealed);
}
