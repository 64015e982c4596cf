//! Encryption of DC-09: AES-CBC with an initial vector of zeros; what is encrypted
//! begins with random padding, which makes equal texts differ.

use crate::hex;
use aes::cipher::block_padding::NoPadding;
use aes::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use aes::{Aes128, Aes192, Aes256};
use std::fmt;
use std::fs;
use std::path::Path;

const BLOCK_BYTES: usize = 16;
const IV: [u8; BLOCK_BYTES] = [0; BLOCK_BYTES];

/// The key that bridge and receiver share, of 128, 192 or 256 bits.
pub struct Cipher(Vec<u8>);

impl fmt::Debug for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cipher(..)")
    }
}

impl Cipher {
    /// Reads a key: 32, 48 or 64 hexadecimal digits.
    ///
    /// # Errors
    /// Says what is wrong, without the key.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        match (text.len(), hex::decode(text)) {
            (32 | 48 | 64, Some(key)) => Ok(Self(key)),
            _ => Err("a key has 32, 48 or 64 hexadecimal digits".to_owned()),
        }
    }

    /// Reads a key from a file.
    ///
    /// # Errors
    /// Names the file.
    pub fn from_file(file: &Path) -> Result<Self, String> {
        let text = fs::read_to_string(file).map_err(|error| error.to_string());
        let cipher = text.and_then(|text| Self::parse(&text));
        cipher.map_err(|error| format!("{}: {error}", file.display()))
    }

    /// Encrypts a text behind padding; gives hexadecimal digits. A text that has a
    /// whole number of blocks gets a whole block of padding.
    pub(super) fn encrypt(&self, text: &str) -> String {
        let mut bytes = padding(BLOCK_BYTES - text.len() % BLOCK_BYTES);
        bytes.extend_from_slice(text.as_bytes());
        let length = bytes.len();
        let done = match self.0.len() {
            16 => encryptor::<Aes128>(&self.0).encrypt_padded::<NoPadding>(&mut bytes, length),
            24 => encryptor::<Aes192>(&self.0).encrypt_padded::<NoPadding>(&mut bytes, length),
            _ => encryptor::<Aes256>(&self.0).encrypt_padded::<NoPadding>(&mut bytes, length),
        };
        done.expect("whole blocks").iter().map(|byte| format!("{byte:02X}")).collect()
    }

    /// Decrypts hexadecimal digits; the padding is still before the text. `None` if
    /// they are none, no whole blocks, or give no ASCII text, as with another key.
    pub(super) fn decrypt(&self, digits: &str) -> Option<String> {
        let mut bytes = hex::decode(digits)?;
        let done = match self.0.len() {
            16 => decryptor::<Aes128>(&self.0).decrypt_padded::<NoPadding>(&mut bytes),
            24 => decryptor::<Aes192>(&self.0).decrypt_padded::<NoPadding>(&mut bytes),
            _ => decryptor::<Aes256>(&self.0).decrypt_padded::<NoPadding>(&mut bytes),
        };
        let text = String::from_utf8(done.ok()?.to_vec()).ok()?;
        text.is_ascii().then_some(text)
    }
}

fn encryptor<C: aes::cipher::BlockCipherEncrypt + aes::cipher::KeyInit>(
    key: &[u8],
) -> cbc::Encryptor<C>
where
    cbc::Encryptor<C>: KeyIvInit,
{
    cbc::Encryptor::new_from_slices(key, &IV).expect("the length was looked at")
}

fn decryptor<C: aes::cipher::BlockCipherDecrypt + aes::cipher::KeyInit>(
    key: &[u8],
) -> cbc::Decryptor<C>
where
    cbc::Decryptor<C>: KeyIvInit,
{
    cbc::Decryptor::new_from_slices(key, &IV).expect("the length was looked at")
}

/// Random letters: brackets and bars would end the padding.
fn padding(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    getrandom::fill(&mut bytes).expect("the kernel gives random numbers");
    bytes.iter().map(|byte| b'A' + (byte >> 4)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// 16 times `A`, the key of pysiaalarm's tests.
    const KEY: &str = "41414141414141414141414141414141";

    #[test]
    fn messages_of_others_are_read() {
        let cipher = Cipher::parse(KEY).expect("a key");
        // pysiaalarm, tests/test_sia_package_cases.py, `case_null`.
        let null = "B4BC8B40D0E6D959D6BEA78E88CC0B2155741A3C44FBB96D476A3E557CAD64D9";
        let text = "ppppppppppp]_18:24:52,07-05-2020";
        assert_eq!(cipher.decrypt(null).as_deref(), Some(text));
        // Of a codec in PHP, whose frame is in `frame.rs`.
        let water = "C07DA1EB73C617857476EE5D79436CEE5E0084485E79EC56B0D5D1F3F6E648B278050BBCCBC8FE5DCA7E3C80DBDD4945";
        let text = "0000000000000000|Nri1/WA000]_16:04:02,07-09-2020";
        assert_eq!(cipher.decrypt(water).as_deref(), Some(text));
    }

    #[test]
    fn equal_texts_differ_and_are_read_behind_their_padding() {
        for key in [KEY.to_owned(), KEY.repeat(2), KEY[..16].repeat(3)] {
            let cipher = Cipher::parse(&key).expect("a key");
            for length in 0..40 {
                let text = "|".to_owned() + &"x".repeat(length);
                let (one, other) = (cipher.encrypt(&text), cipher.encrypt(&text));
                assert_ne!(&one, &cipher.encrypt(&"|".repeat(text.len())));
                assert_eq!(one.len(), other.len());
                let whole = cipher.decrypt(&one).expect("a text");
                let (padding, rest) = whole.split_at(whole.find('|').expect("a bar"));
                assert_eq!(rest, text);
                assert!((1..=16).contains(&padding.len()), "{whole}");
            }
        }
        // Sixteen random letters of sixteen: 2^-64 that they are equal.
        let cipher = Cipher::parse(KEY).expect("a key");
        let text = "|".repeat(16);
        assert_ne!(cipher.encrypt(&text), cipher.encrypt(&text));
    }

    #[test]
    fn what_is_no_key_is_refused_and_not_shown() {
        for wrong in ["", "41", &KEY[1..], &"g".repeat(32), &"é".repeat(16)] {
            let error = Cipher::parse(wrong).expect_err("no key");
            assert_eq!(error, "a key has 32, 48 or 64 hexadecimal digits");
        }
        assert_eq!(format!("{:?}", Cipher::parse(KEY)), "Ok(Cipher(..))");
    }

    proptest! {
        #[test]
        fn any_text_is_decrypted_or_refused(text in ".{0,80}", digits in "[0-9A-F]{0,96}") {
            let cipher = Cipher::parse(KEY).expect("a key");
            prop_assert!(cipher.decrypt(&text).is_none() || text.len() % 32 == 0);
            prop_assert!(cipher.decrypt(&digits).is_none() || digits.len() % 32 == 0);
        }
    }
}
