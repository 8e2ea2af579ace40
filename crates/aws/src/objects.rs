//! The objects of S3, through the SDK.

use aws_sdk_s3::{Client, primitives::ByteStream};

use taskferry_engine::ports;

use crate::Error;

/// The objects of S3.
#[derive(Clone, Debug)]
pub struct Objects {
    client: Client,
}

impl Objects {
    pub(crate) fn new(client: Client) -> Self {
        Self { client }
    }

    /// Puts an object.
    ///
    /// # Errors
    ///
    /// [`Error`] if S3 did not take it.
    pub async fn put(&self, bucket: &str, key: &str, body: Vec<u8>) -> Result<(), Error> {
        self.client
            .put_object()
            .bucket(bucket)
            .key(key)
            .body(ByteStream::from(body))
            .send()
            .await
            .map_err(|error| Error::new(&error))?;
        Ok(())
    }

    /// An object's bytes; `None` if there is no such object.
    ///
    /// # Errors
    ///
    /// [`Error`] if S3 did not give it.
    pub async fn get(&self, bucket: &str, key: &str) -> Result<Option<Vec<u8>>, Error> {
        let got = self.client.get_object().bucket(bucket).key(key).send().await;
        match got {
            Ok(object) => {
                let body = object.body.collect().await;
                let body = body.map_err(|error| Error::NoAnswer(error.to_string()))?;
                Ok(Some(body.to_vec()))
            }
            Err(error)
                if error.as_service_error().is_some_and(
                    aws_sdk_s3::operation::get_object::GetObjectError::is_no_such_key,
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(Error::new(&error)),
        }
    }
}

impl ports::Payloads for Objects {
    async fn put(&self, url: &str, event: &str) -> Result<(), ports::Error> {
        let (bucket, key) = place(url, "PutObject")?;
        let put = Self::put(self, bucket, key, event.as_bytes().to_vec()).await;
        put.map_err(|error| error.of_port("PutObject"))
    }

    async fn discard(&self, url: &str) -> Result<(), ports::Error> {
        let (bucket, key) = place(url, "DeleteObject")?;
        let deleted = self.client.delete_object().bucket(bucket).key(key).send().await;
        deleted.map(|_| ()).map_err(|error| Error::new(&error).of_port("DeleteObject"))
    }
}

/// The bucket and the key of `s3://BUCKET/KEY`.
fn place<'a>(url: &'a str, what: &'static str) -> Result<(&'a str, &'a str), ports::Error> {
    url.strip_prefix("s3://").and_then(|place| place.split_once('/')).ok_or_else(|| {
        ports::Error::Refused { what, source: format!("`{url}` is not s3://BUCKET/KEY").into() }
    })
}
