//! The operations that this S3 has, as `s3s` calls them; every other one answers `NotImplemented`.
//!
//! Each is a few lines: what it does stands in the file that is named for it.

use std::sync::Arc;

use s3s::{
    S3Error, S3ErrorCode, S3Request, S3Response, S3Result,
    dto::{
        AbortMultipartUploadInput, AbortMultipartUploadOutput, CompleteMultipartUploadInput,
        CompleteMultipartUploadOutput, CopyObjectInput, CopyObjectOutput, CreateBucketInput,
        CreateBucketOutput, CreateMultipartUploadInput, CreateMultipartUploadOutput,
        DeleteBucketInput, DeleteBucketOutput, DeleteBucketTaggingInput, DeleteBucketTaggingOutput,
        DeleteObjectInput, DeleteObjectOutput, DeleteObjectTaggingInput, DeleteObjectTaggingOutput,
        DeleteObjectsInput, DeleteObjectsOutput, DeletedObject, ETagCondition, Error as Failed,
        GetBucketLocationInput, GetBucketLocationOutput, GetBucketNotificationConfigurationInput,
        GetBucketNotificationConfigurationOutput, GetBucketTaggingInput, GetBucketTaggingOutput,
        GetBucketVersioningInput, GetBucketVersioningOutput, GetObjectAttributesInput,
        GetObjectAttributesOutput, GetObjectInput, GetObjectOutput, GetObjectTaggingInput,
        GetObjectTaggingOutput, HeadBucketInput, HeadBucketOutput, HeadObjectInput,
        HeadObjectOutput, ListBucketsInput, ListBucketsOutput, ListMultipartUploadsInput,
        ListMultipartUploadsOutput, ListObjectVersionsInput, ListObjectVersionsOutput,
        ListObjectsInput, ListObjectsOutput, ListObjectsV2Input, ListObjectsV2Output,
        ListPartsInput, ListPartsOutput, PutBucketNotificationConfigurationInput,
        PutBucketNotificationConfigurationOutput, PutBucketTaggingInput, PutBucketTaggingOutput,
        PutObjectInput, PutObjectOutput, PutObjectTaggingInput, PutObjectTaggingOutput,
        UploadPartCopyInput, UploadPartCopyOutput, UploadPartInput, UploadPartOutput,
    },
};

use super::{
    S3, buckets,
    conditions::WriteConditions,
    door::{RequestId, WithoutContent},
    fault::{Fault, message},
    get::check_version,
    notification::Cause,
    objects::Deleted,
    tagging,
};

/// How many keys one `DeleteObjects` takes.
const DELETES_MAX: usize = 1000;

/// What `s3s` calls.
pub(super) struct Operations(pub(super) Arc<S3>);

fn answer<T>(output: Result<T, Fault>) -> S3Result<S3Response<T>> {
    output.map(S3Response::new).map_err(S3Error::from)
}

/// Answers with nothing, and says so by the status.
fn empty<T>(output: Result<T, Fault>) -> S3Result<S3Response<T>> {
    let mut response = answer(output)?;
    response.extensions.insert(WithoutContent);
    Ok(response)
}

#[async_trait::async_trait]
impl s3s::S3 for Operations {
    async fn create_bucket(
        &self,
        request: S3Request<CreateBucketInput>,
    ) -> S3Result<S3Response<CreateBucketOutput>> {
        answer(self.0.make_bucket(&request.input))
    }

    async fn delete_bucket(
        &self,
        request: S3Request<DeleteBucketInput>,
    ) -> S3Result<S3Response<DeleteBucketOutput>> {
        answer(self.0.remove_bucket(request.input).await.map(|()| DeleteBucketOutput {}))
    }

    async fn head_bucket(
        &self,
        request: S3Request<HeadBucketInput>,
    ) -> S3Result<S3Response<HeadBucketOutput>> {
        answer(self.0.find_bucket(&request.input))
    }

    async fn list_buckets(
        &self,
        request: S3Request<ListBucketsInput>,
    ) -> S3Result<S3Response<ListBucketsOutput>> {
        answer(self.0.list_all_buckets(request.input))
    }

    async fn get_bucket_location(
        &self,
        request: S3Request<GetBucketLocationInput>,
    ) -> S3Result<S3Response<GetBucketLocationOutput>> {
        answer(self.0.bucket_location(&request.input))
    }

    async fn get_bucket_versioning(
        &self,
        request: S3Request<GetBucketVersioningInput>,
    ) -> S3Result<S3Response<GetBucketVersioningOutput>> {
        let bucket = self.0.db.read(|connection| buckets::check(connection, &request.input.bucket));
        answer(bucket.map(|()| GetBucketVersioningOutput::default()))
    }

    async fn get_bucket_notification_configuration(
        &self,
        request: S3Request<GetBucketNotificationConfigurationInput>,
    ) -> S3Result<S3Response<GetBucketNotificationConfigurationOutput>> {
        answer(self.0.notification_configuration(&request.input.bucket))
    }

    async fn put_bucket_notification_configuration(
        &self,
        request: S3Request<PutBucketNotificationConfigurationInput>,
    ) -> S3Result<S3Response<PutBucketNotificationConfigurationOutput>> {
        let S3Request { input, extensions, .. } = request;
        let put = self.0.put_notification_configuration(input, RequestId::of(&extensions));
        answer(put.map(|()| PutBucketNotificationConfigurationOutput::default()))
    }

    async fn put_object(
        &self,
        request: S3Request<PutObjectInput>,
    ) -> S3Result<S3Response<PutObjectOutput>> {
        // A browser's form comes this way too.
        let form = request.method == axum::http::Method::POST;
        answer(self.0.put(request, if form { Cause::Post } else { Cause::Put }).await)
    }

    async fn get_object(
        &self,
        request: S3Request<GetObjectInput>,
    ) -> S3Result<S3Response<GetObjectOutput>> {
        answer(self.0.get(request.input).await)
    }

    async fn head_object(
        &self,
        request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        answer(self.0.head(request.input))
    }

    async fn get_object_attributes(
        &self,
        request: S3Request<GetObjectAttributesInput>,
    ) -> S3Result<S3Response<GetObjectAttributesOutput>> {
        answer(self.0.attributes(&request.input))
    }

    async fn copy_object(
        &self,
        request: S3Request<CopyObjectInput>,
    ) -> S3Result<S3Response<CopyObjectOutput>> {
        answer(self.0.copy(request).await)
    }

    async fn delete_object(
        &self,
        request: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        empty(self.0.delete_one(request).await.map(|()| DeleteObjectOutput::default()))
    }

    async fn delete_objects(
        &self,
        request: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        answer(self.0.delete_many(request).await)
    }

    async fn list_objects(
        &self,
        request: S3Request<ListObjectsInput>,
    ) -> S3Result<S3Response<ListObjectsOutput>> {
        answer(self.0.list_v1(request.input))
    }

    async fn list_object_versions(
        &self,
        request: S3Request<ListObjectVersionsInput>,
    ) -> S3Result<S3Response<ListObjectVersionsOutput>> {
        answer(self.0.list_versions(request.input))
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        answer(self.0.list_v2(request.input))
    }

    async fn create_multipart_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        answer(self.0.create_upload(request.input))
    }

    async fn upload_part(
        &self,
        request: S3Request<UploadPartInput>,
    ) -> S3Result<S3Response<UploadPartOutput>> {
        answer(self.0.put_part(request).await)
    }

    async fn upload_part_copy(
        &self,
        request: S3Request<UploadPartCopyInput>,
    ) -> S3Result<S3Response<UploadPartCopyOutput>> {
        answer(self.0.copy_part(request.input).await)
    }

    async fn complete_multipart_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        answer(self.0.complete_upload(request).await)
    }

    async fn abort_multipart_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        let aborted = self.0.abort_upload(request.input).await;
        answer(aborted.map(|()| AbortMultipartUploadOutput::default()))
    }

    async fn list_parts(
        &self,
        request: S3Request<ListPartsInput>,
    ) -> S3Result<S3Response<ListPartsOutput>> {
        answer(self.0.list_parts_of(request.input))
    }

    async fn list_multipart_uploads(
        &self,
        request: S3Request<ListMultipartUploadsInput>,
    ) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        answer(self.0.list_uploads(request.input))
    }

    async fn get_bucket_tagging(
        &self,
        request: S3Request<GetBucketTaggingInput>,
    ) -> S3Result<S3Response<GetBucketTaggingOutput>> {
        let tags = self.0.bucket_tags(&request.input.bucket);
        answer(tags.map(|tag_set| GetBucketTaggingOutput { tag_set }))
    }

    async fn put_bucket_tagging(
        &self,
        request: S3Request<PutBucketTaggingInput>,
    ) -> S3Result<S3Response<PutBucketTaggingOutput>> {
        let PutBucketTaggingInput { bucket, tagging, .. } = request.input;
        let set = self.0.set_bucket_tags(&bucket, tagging::read_set(tagging.tag_set));
        empty(set.map(|()| PutBucketTaggingOutput::default()))
    }

    async fn delete_bucket_tagging(
        &self,
        request: S3Request<DeleteBucketTaggingInput>,
    ) -> S3Result<S3Response<DeleteBucketTaggingOutput>> {
        let removed = self.0.set_bucket_tags(&request.input.bucket, Vec::new());
        empty(removed.map(|()| DeleteBucketTaggingOutput::default()))
    }

    async fn get_object_tagging(
        &self,
        request: S3Request<GetObjectTaggingInput>,
    ) -> S3Result<S3Response<GetObjectTaggingOutput>> {
        let tags = self.0.tags(&request.input.bucket, &request.input.key);
        answer(tags.map(|tag_set| GetObjectTaggingOutput { tag_set, version_id: None }))
    }

    async fn put_object_tagging(
        &self,
        request: S3Request<PutObjectTaggingInput>,
    ) -> S3Result<S3Response<PutObjectTaggingOutput>> {
        let S3Request { input, extensions, .. } = request;
        let PutObjectTaggingInput { bucket, key, tagging, .. } = input;
        let tags = tagging::read_set(tagging.tag_set);
        let id = RequestId::of(&extensions);
        let set = self.0.set_tags((&bucket, &key), tags, Cause::PutTags, id);
        answer(set.map(|()| PutObjectTaggingOutput::default()))
    }

    async fn delete_object_tagging(
        &self,
        request: S3Request<DeleteObjectTaggingInput>,
    ) -> S3Result<S3Response<DeleteObjectTaggingOutput>> {
        let S3Request { input, extensions, .. } = request;
        let object = (&*input.bucket, &*input.key);
        let id = RequestId::of(&extensions);
        let removed = self.0.set_tags(object, Vec::new(), Cause::DeleteTags, id);
        answer(removed.map(|()| DeleteObjectTaggingOutput::default()))
    }
}

impl S3 {
    async fn delete_one(&self, request: S3Request<DeleteObjectInput>) -> Result<(), Fault> {
        let S3Request { input, extensions, .. } = request;
        check_version(input.version_id.as_deref())?;
        let conditions = WriteConditions { if_match: input.if_match, if_none_match: None };
        let object = (&*input.bucket, &*input.key);
        let deleted = self.db.write(|tx| {
            buckets::check(tx, &input.bucket)?;
            self.delete(tx, object, &conditions, RequestId::of(&extensions))
        })?;
        self.clear(&input.bucket, deleted.into_iter().collect()).await;
        Ok(())
    }

    /// Tells of deleted objects that led nowhere, and deletes their bytes.
    async fn clear(&self, bucket: &str, deleted: Vec<Deleted>) {
        let mut blobs = Vec::with_capacity(deleted.len());
        for Deleted { blob, nowhere } in deleted {
            self.tell(&nowhere);
            blobs.push(blob);
        }
        self.blobs.discard(bucket, blobs).await;
    }

    async fn delete_many(
        &self,
        request: S3Request<DeleteObjectsInput>,
    ) -> Result<DeleteObjectsOutput, Fault> {
        let S3Request { input, extensions, .. } = request;
        let (bucket, delete) = (input.bucket, input.delete);
        if delete.objects.is_empty() || delete.objects.len() > DELETES_MAX {
            return Err(S3ErrorCode::MalformedXML.into());
        }
        let mut deleted = Vec::new();
        let mut errors = Vec::new();
        let mut stale = Vec::new();
        self.db.write(|tx| {
            buckets::check(tx, &bucket)?;
            for object in delete.objects {
                let if_match = object.e_tag.map(ETagCondition::ETag);
                let conditions = WriteConditions { if_match, if_none_match: None };
                let target = (&*bucket, &*object.key);
                let done = check_version(object.version_id.as_deref()).and_then(|()| {
                    self.delete(tx, target, &conditions, RequestId::of(&extensions))
                });
                match done {
                    Ok(done) => {
                        stale.extend(done);
                        deleted.push(DeletedObject { key: Some(object.key), ..Default::default() });
                    }
                    Err(Fault::Refused(error)) => errors.push(Failed {
                        code: Some(error.code().as_str().to_owned()),
                        key: Some(object.key),
                        message: Some(message(error.code().as_str()).to_owned()),
                        version_id: object.version_id,
                    }),
                    Err(fault) => return Err(fault),
                }
            }
            Ok(())
        })?;
        self.clear(&bucket, stale).await;
        Ok(DeleteObjectsOutput {
            deleted: Some(deleted).filter(|_| delete.quiet != Some(true)),
            errors: Some(errors),
            request_charged: None,
        })
    }
}
