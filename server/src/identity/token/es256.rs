//! Checking ES256 signatures (RFC 7518 section 3.4) by `ring`, which TLS brings along: several times as fast as by the
//! crates that the rest of the JWTs is left to. After a restart everybody comes back at once, each with a token whose
//! signature this server has not seen.

use std::sync::LazyLock;

use jsonwebtoken::crypto::{CryptoProvider, JwtVerifier, rust_crypto};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::signature::{self, Verifier};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

static PROVIDER: LazyLock<CryptoProvider> = LazyLock::new(|| CryptoProvider {
    verifier_factory: verifier,
    ..rust_crypto::DEFAULT_PROVIDER.clone()
});

/// From now on signatures of this process are checked so. Only the first call counts: the error of the others says so.
pub(super) fn install() {
    let _installed_already = PROVIDER.install_default();
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    if *algorithm != Algorithm::ES256 {
        return (rust_crypto::DEFAULT_PROVIDER.verifier_factory)(algorithm, key);
    }
    if key.family() != AlgorithmFamily::Ec {
        return Err(ErrorKind::InvalidKeyFormat.into());
    }
    let point = key.try_get_as_bytes()?.to_vec();
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
    Ok(Box::new(Es256(key)))
}

struct Es256(UnparsedPublicKey<Vec<u8>>);

impl Verifier<Vec<u8>> for Es256 {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        self.0
            .verify(message, signature)
            .map_err(|_unspecified| signature::Error::new())
    }
}

impl JwtVerifier for Es256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::ES256
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::EncodingKey;
    use jsonwebtoken::crypto::JwtSigner;
    use p256::pkcs8::EncodePrivateKey;

    use super::*;

    /// Beside the example of the RFC, what the crates that sign make, and what they refuse, is told the same.
    #[test]
    fn both_implementations_agree() {
        let secret = p256::ecdsa::SigningKey::from_slice(&[7; 32]).unwrap();
        let der = secret.to_pkcs8_der().unwrap();
        let private = EncodingKey::from_ec_der(der.as_bytes());
        let point = secret.verifying_key().to_encoded_point(false);
        let public = DecodingKey::from_ec_der(point.as_bytes());
        let algorithm = Algorithm::ES256;
        let signer: Box<dyn JwtSigner> =
            (rust_crypto::DEFAULT_PROVIDER.signer_factory)(&algorithm, &private).unwrap();
        let good = signer.try_sign(b"header.claims").unwrap();
        let of_crates =
            (rust_crypto::DEFAULT_PROVIDER.verifier_factory)(&algorithm, &public).unwrap();
        let ours = verifier(&algorithm, &public).unwrap();
        let mut cases = vec![(b"header.claims".to_vec(), good.clone(), true)];
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            cases.push((b"header.claims".to_vec(), bad, false));
        }
        cases.push((b"header.claim".to_vec(), good.clone(), false));
        for odd in [
            vec![],
            vec![0; 64],
            good[..63].to_vec(),
            [&good[..], &[0]].concat(),
        ] {
            cases.push((b"header.claims".to_vec(), odd, false));
        }
        for (message, signature, expected) in cases {
            let both = [&ours, &of_crates].map(|by| by.verify(&message, &signature).is_ok());
            assert_eq!(both, [expected; 2], "{signature:02x?}");
        }
        let secret = DecodingKey::from_secret(b"a secret is no key of ES256");
        assert!(verifier(&algorithm, &secret).is_err());
    }
}
