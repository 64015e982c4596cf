//! The ciphers that the codec asks for: AES-128 (FIPS 197), and AES-CMAC (RFC 4493).
#![allow(deprecated, reason = "the codec speaks of arrays in this older crate's types")]

use super::keys::SecretKey;
use aes::Aes128;
use aes::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use cmac::{Cmac, Mac as _};
use generic_array::GenericArray;
use generic_array::typenum::U16;
use lorawan::keys::{AES128, CryptoFactory, Decrypter, Encrypter, Mac};

/// Makes what the codec computes with.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Crypto;

/// AES-128 in both directions.
pub(super) struct Cipher(Aes128);

/// AES-CMAC.
pub(super) struct Code(Cmac<Aes128>);

/// The AES-CMAC of a text.
pub(super) fn code_of(key: &SecretKey, text: &[u8]) -> [u8; 16] {
    let mut code = Crypto.new_mac(&key.for_codec());
    code.input(text);
    code.result().into()
}

/// Enciphers one block.
pub(super) fn encipher(key: &SecretKey, block: &mut [u8; 16]) {
    Crypto.new_enc(&key.for_codec()).0.encrypt_block(block.into());
}

/// Deciphers one block.
pub(super) fn decipher(key: &SecretKey, block: &mut [u8; 16]) {
    Crypto.new_dec(&key.for_codec()).0.decrypt_block(block.into());
}

impl CryptoFactory for Crypto {
    type E = Cipher;
    type D = Cipher;
    type M = Code;

    fn new_enc(&self, key: &AES128) -> Cipher {
        Cipher(Aes128::new(&key.0.into()))
    }

    fn new_dec(&self, key: &AES128) -> Cipher {
        Cipher(Aes128::new(&key.0.into()))
    }

    fn new_mac(&self, key: &AES128) -> Code {
        Code(Cmac::new(&key.0.into()))
    }
}

impl Encrypter for Cipher {
    fn encrypt_block(&self, block: &mut GenericArray<u8, U16>) {
        let block: &mut [u8; 16] = block.as_mut();
        self.0.encrypt_block(block.into());
    }
}

impl Decrypter for Cipher {
    fn decrypt_block(&self, block: &mut GenericArray<u8, U16>) {
        let block: &mut [u8; 16] = block.as_mut();
        self.0.decrypt_block(block.into());
    }
}

impl Mac for Code {
    fn input(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn reset(&mut self) {
        self.0.reset();
    }

    fn result(self) -> GenericArray<u8, U16> {
        let code: [u8; 16] = self.0.finalize().into_bytes().into();
        code.into()
    }
}
