//! The promises of this S3, held against the handler in this process: no sockets, no clients.
