//! The table: its keys, its indexes and what becomes of old items, as data.
//!
//! Read by whoever makes the table: tests by calls, a deployment as CloudFormation. docs/data-model.md says what each index
//! is for and what it costs.

use aws_sdk_dynamodb::{
    Client,
    types::{
        AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType,
        Projection, ProjectionType, ScalarAttributeType, TableStatus, TimeToLiveSpecification,
    },
};
use serde_json::{Value, json};

use super::{
    items::{DEDUPE_KEY, EVENT_ID, RULE},
    keys::{DEAD, DUE, DUE_AT, EXPIRES_AT, LIST, LISTED, PK, SK},
};
use crate::Error;

/// An index: its name and partition key, its sort key, and what it has beside the keys.
type Index = (&'static str, &'static str, &'static [&'static str]);

const INDEXES: [Index; 3] =
    [(DUE, DUE_AT, &[]), (LIST, LISTED, &[RULE, EVENT_ID, DEDUPE_KEY]), (DEAD, LISTED, &[])];

/// Every attribute that is a key: all are strings.
const KEYS: [&str; 7] = [PK, SK, DUE, DUE_AT, LIST, DEAD, LISTED];

/// The properties of the table's `AWS::DynamoDB::Table`, its name left out.
///
/// <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-resource-dynamodb-table.html>
pub fn table() -> Value {
    let keys = |partition: &str, sort: &str| {
        json!([
            { "AttributeName": partition, "KeyType": "HASH" },
            { "AttributeName": sort, "KeyType": "RANGE" },
        ])
    };
    let index = |(name, sort, others): Index| {
        let projection = if others.is_empty() {
            json!({ "ProjectionType": "KEYS_ONLY" })
        } else {
            json!({ "ProjectionType": "INCLUDE", "NonKeyAttributes": others })
        };
        json!({ "IndexName": name, "KeySchema": keys(name, sort), "Projection": projection })
    };
    json!({
        "AttributeDefinitions":
            KEYS.map(|name| json!({ "AttributeName": name, "AttributeType": "S" })),
        "KeySchema": keys(PK, SK),
        "GlobalSecondaryIndexes": INDEXES.map(index),
        "BillingMode": "PAY_PER_REQUEST",
        "TimeToLiveSpecification": { "AttributeName": EXPIRES_AT, "Enabled": true },
    })
}

/// Makes the table, and waits until it is there.
///
/// # Errors
///
/// [`Error`] if DynamoDB does not make it, or not in half a minute.
pub(super) async fn create(client: &Client, name: &str) -> Result<(), Error> {
    let expect = "all that must be set is set";
    let keys = |partition: &str, sort: &str| {
        [(partition, KeyType::Hash), (sort, KeyType::Range)].map(|(name, kind)| {
            KeySchemaElement::builder().attribute_name(name).key_type(kind).build().expect(expect)
        })
    };
    let mut call = client
        .create_table()
        .table_name(name)
        .billing_mode(BillingMode::PayPerRequest)
        .set_key_schema(Some(keys(PK, SK).into()));
    for key in KEYS {
        let definition = AttributeDefinition::builder().attribute_name(key);
        let definition = definition.attribute_type(ScalarAttributeType::S).build();
        call = call.attribute_definitions(definition.expect(expect));
    }
    for (name, sort, others) in INDEXES {
        let projection = Projection::builder();
        let projection = if others.is_empty() {
            projection.projection_type(ProjectionType::KeysOnly)
        } else {
            let others = others.iter().map(|name| (*name).to_owned()).collect();
            projection.projection_type(ProjectionType::Include).set_non_key_attributes(Some(others))
        };
        let index = GlobalSecondaryIndex::builder()
            .index_name(name)
            .set_key_schema(Some(keys(name, sort).into()))
            .projection(projection.build())
            .build();
        call = call.global_secondary_indexes(index.expect(expect));
    }
    call.send().await.map_err(|error| Error::new(&error))?;
    for _ in 0..60 {
        let described = client.describe_table().table_name(name).send().await;
        let described = described.map_err(|error| Error::new(&error))?;
        if described.table().and_then(|table| table.table_status()) == Some(&TableStatus::Active) {
            let ttl = TimeToLiveSpecification::builder().attribute_name(EXPIRES_AT).enabled(true);
            let ttl = ttl.build().expect(expect);
            let call = client.update_time_to_live().table_name(name);
            call.time_to_live_specification(ttl)
                .send()
                .await
                .map_err(|error| Error::new(&error))?;
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    }
    Err(Error::NoAnswer(format!("the table {name} was not ready after half a minute")))
}
