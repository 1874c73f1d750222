//! Why a TLS handshake came to nothing, in words for people.
use rustls::{AlertDescription, CertificateError, Error};
use std::{fmt, io};

/// What stood in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mistrust {
    /// Nobody we trust signed its certificate.
    Untrusted,
    /// Its certificate has ended.
    Expired,
    /// Its certificate is for another name.
    OtherName,
    /// It asks for a certificate of ours, or for another one.
    WhoAreYou,
    /// It does not trust the certificate of ours.
    NotYou,
    /// It speaks something else.
    NoTls,
}
impl Mistrust {
    /// `None`: there are only the words of TLS itself.
    pub fn of(error: &Error) -> Option<Self> {
        match error {
            Error::InvalidCertificate(why) => Self::certificate(why),
            Error::InvalidMessage(_) => Some(Self::NoTls),
            // Some say the second to who showed none.
            Error::AlertReceived(AlertDescription::CertificateRequired | AlertDescription::BadCertificate) => Some(Self::WhoAreYou),
            Error::AlertReceived(
                AlertDescription::UnknownCA
                | AlertDescription::CertificateUnknown
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateRevoked
                | AlertDescription::UnsupportedCertificate,
            ) => Some(Self::NotYou),
            _ => None,
        }
    }
    fn certificate(why: &CertificateError) -> Option<Self> {
        match why {
            CertificateError::UnknownIssuer
            | CertificateError::BadSignature
            | CertificateError::Other(_)
            | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => Some(Self::Untrusted),
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Some(Self::Expired),
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Some(Self::OtherName),
            _ => None,
        }
    }
    /// TLS hands its errors on in those of the system, also in several; what lies in one is none of its sources.
    pub fn inside(error: &io::Error) -> Option<&Error> {
        let inner = error.get_ref()?;
        inner.downcast_ref().or_else(|| inner.downcast_ref().and_then(Self::inside))
    }
}
impl fmt::Display for Mistrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Untrusted => "nobody who is trusted here signed its certificate",
            Self::Expired => "its certificate has ended",
            Self::OtherName => "its certificate is for another name",
            Self::NotYou => "it refused the client certificate",
            Self::WhoAreYou => "it asks for a certificate of its clients",
            Self::NoTls => "it does not speak TLS",
        })
    }
}
