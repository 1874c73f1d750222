//! The one table from errors to what each protocol answers.
use http::StatusCode;
use tidegate_core::error::Code;

/// The status HTTP answers. Never a 500 for what a client, a broker or a disk did.
pub fn status(code: Code) -> StatusCode {
    match code {
        Code::NotFound | Code::NoSuchStream | Code::NoSuchResource | Code::NoSuchRoute => StatusCode::NOT_FOUND,
        Code::BadRequest
        | Code::BadHeader
        | Code::BadCursor
        | Code::BadQuery
        | Code::BadFrame
        | Code::BadTarget
        | Code::BadTopic
        | Code::NotYet
        | Code::NotJson
        | Code::BadItem
        | Code::EmptyBatch
        | Code::BadStation
        | Code::PlainOnTls => StatusCode::BAD_REQUEST,
        Code::TooLarge | Code::BatchTooLong | Code::RecordTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Code::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        Code::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
        Code::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Code::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
        Code::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        Code::TargetTooLong => StatusCode::URI_TOO_LONG,
        Code::PartitionOutOfRange
        | Code::LevelNotOffered
        | Code::IdempotencyMismatch
        | Code::AmbiguousStream
        | Code::NotText
        | Code::MissingKey
        | Code::UnknownKey
        | Code::BadValue
        | Code::UnknownKind
        | Code::NoSuchReference
        | Code::Unkeepable
        | Code::UnsafeAddress
        | Code::Unreadable
        | Code::NoSuchVariable
        | Code::WrongResources
        | Code::BadCertificate
        | Code::BadSigningKey
        | Code::PublishedCredentials
        | Code::SchemaViolation
        | Code::CommandFailed => StatusCode::UNPROCESSABLE_ENTITY,
        Code::StreamExists
        | Code::Duplicate
        | Code::AddressInUse
        | Code::LeaseLost
        | Code::SchemaIncompatible
        | Code::InUse
        | Code::ReadOnly
        | Code::LastAdmin
        | Code::ResourceExists => StatusCode::CONFLICT,
        Code::Changed => StatusCode::PRECONDITION_FAILED,
        Code::TooManyAttempts => StatusCode::TOO_MANY_REQUESTS,
        Code::Unauthorized | Code::NotLoggedIn => StatusCode::UNAUTHORIZED,
        Code::Forbidden | Code::ForeignPage => StatusCode::FORBIDDEN,
        Code::StorageFull | Code::StreamFull => StatusCode::INSUFFICIENT_STORAGE,
        Code::Overloaded
        | Code::Draining
        | Code::BrokerDown
        | Code::StorageFailed
        | Code::StoreFailed
        | Code::Recovering
        | Code::FolderLocked
        | Code::NewerFormat
        | Code::NotALog
        | Code::NodeUnreachable
        | Code::NotANode
        | Code::TargetRefused
        | Code::TargetDown
        | Code::TargetTimeout
        | Code::TargetGone
        | Code::AddressForbidden => StatusCode::SERVICE_UNAVAILABLE,
        Code::BadHandshake => StatusCode::UPGRADE_REQUIRED,
        Code::UnknownCoding => StatusCode::NOT_IMPLEMENTED,
        Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_an_error_status_and_only_our_bug_is_a_500() {
        for code in Code::ALL {
            let status = status(*code);
            assert!(status.is_client_error() || status.is_server_error(), "{code}");
            assert_eq!(status == StatusCode::INTERNAL_SERVER_ERROR, *code == Code::Internal, "{code}");
        }
    }
}
