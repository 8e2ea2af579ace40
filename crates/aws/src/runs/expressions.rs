//! Update expressions: what a call sets, removes and adds, under which condition.
//!
//! Every name goes through a placeholder, since the words that DynamoDB keeps for itself are many.
//!
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ReservedWords.html>

use std::collections::HashMap;

use aws_sdk_dynamodb::{
    Client,
    operation::update_item::builders::UpdateItemFluentBuilder,
    types::{
        AttributeValue, Delete, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem,
        Update as TransactUpdate,
    },
};

use super::{
    items::Item,
    keys::{Key, PK},
};

/// An update of one item.
#[derive(Clone, Debug, Default)]
pub(super) struct Update {
    clauses: [(&'static str, Vec<String>); 4],
    condition: Option<String>,
    names: HashMap<String, String>,
    values: HashMap<String, AttributeValue>,
}

const SET: usize = 0;
const REMOVE: usize = 1;
const ADD: usize = 2;
const DELETE: usize = 3;

impl Update {
    pub(super) fn new() -> Self {
        let clauses = ["SET", "REMOVE", "ADD", "DELETE"].map(|verb| (verb, Vec::new()));
        Self { clauses, ..Self::default() }
    }

    pub(super) fn set(self, name: &'static str, value: AttributeValue) -> Self {
        self.clause(SET, format!("#{name} = :{name}"), name, Some(value))
    }

    pub(super) fn remove(self, name: &'static str) -> Self {
        self.clause(REMOVE, format!("#{name}"), name, None)
    }

    /// Sets it, or removes it if there is no value.
    pub(super) fn mark(self, (name, value): (&'static str, Option<AttributeValue>)) -> Self {
        match value {
            Some(value) => self.set(name, value),
            None => self.remove(name),
        }
    }

    /// Adds to a number or a set.
    pub(super) fn add(self, name: &'static str, value: AttributeValue) -> Self {
        self.clause(ADD, format!("#{name} :{name}"), name, Some(value))
    }

    /// Takes out of a set.
    pub(super) fn delete(self, name: &'static str, value: AttributeValue) -> Self {
        self.clause(DELETE, format!("#{name} :{name}"), name, Some(value))
    }

    /// Only if; `name` is what the condition calls `#NAME`, and `value` what it calls `:is`.
    pub(super) fn only_if(
        mut self,
        condition: &str,
        name: &'static str,
        value: Option<AttributeValue>,
    ) -> Self {
        self.condition = Some(condition.to_owned());
        self.names.insert(format!("#{name}"), name.to_owned());
        self.values.extend(value.map(|value| (":is".to_owned(), value)));
        self
    }

    fn clause(
        mut self,
        verb: usize,
        text: String,
        name: &'static str,
        value: Option<AttributeValue>,
    ) -> Self {
        self.clauses[verb].1.push(text);
        self.names.insert(format!("#{name}"), name.to_owned());
        self.values.extend(value.map(|value| (format!(":{name}"), value)));
        self
    }

    fn expression(&self) -> String {
        let said = self.clauses.iter().filter(|(_, clauses)| !clauses.is_empty());
        said.map(|(verb, clauses)| format!("{verb} {}", clauses.join(", ")))
            .collect::<Vec<_>>()
            .join(" ")
    }

    fn values(&self) -> Option<HashMap<String, AttributeValue>> {
        (!self.values.is_empty()).then(|| self.values.clone())
    }

    /// As a call of its own.
    pub(super) fn call(&self, client: &Client, table: &str, key: &Key) -> UpdateItemFluentBuilder {
        client
            .update_item()
            .table_name(table)
            .set_key(Some(key.item()))
            .update_expression(self.expression())
            .set_condition_expression(self.condition.clone())
            .set_expression_attribute_names(Some(self.names.clone()))
            .set_expression_attribute_values(self.values())
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
    }

    /// As a part of a transaction; `tells` whether a failed condition tells what stands there.
    pub(super) fn part(&self, table: &str, key: &Key, tells: bool) -> TransactWriteItem {
        let update = TransactUpdate::builder()
            .table_name(table)
            .set_key(Some(key.item()))
            .update_expression(self.expression())
            .set_condition_expression(self.condition.clone())
            .set_expression_attribute_names(Some(self.names.clone()))
            .set_expression_attribute_values(self.values())
            .return_values_on_condition_check_failure(if tells {
                ReturnValuesOnConditionCheckFailure::AllOld
            } else {
                ReturnValuesOnConditionCheckFailure::None
            })
            .build()
            .expect("table, key and expression are set");
        TransactWriteItem::builder().update(update).build()
    }
}

/// That there is no such item yet.
pub(super) const IS_NEW: &str = "attribute_not_exists(#pk)";

/// That there is such an item; for `Update::only_if`.
pub(super) const IS_THERE: &str = "attribute_exists(#pk)";

/// The names in [`IS_NEW`].
pub(super) fn is_new_names() -> HashMap<String, String> {
    [("#pk".to_owned(), PK.to_owned())].into()
}

/// A new item as a part of a transaction; if there is one already, what stands there is told.
pub(super) fn put_new(table: &str, item: Item) -> TransactWriteItem {
    let put = Put::builder()
        .table_name(table)
        .set_item(Some(item))
        .condition_expression(IS_NEW)
        .set_expression_attribute_names(Some(is_new_names()))
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
        .build()
        .expect("table and item are set");
    TransactWriteItem::builder().put(put).build()
}

/// An item as a part of a transaction, whatever stands there.
pub(super) fn put(table: &str, item: Item) -> TransactWriteItem {
    let put = Put::builder().table_name(table).set_item(Some(item)).build();
    TransactWriteItem::builder().put(put.expect("table and item are set")).build()
}

/// An item's end as a part of a transaction.
pub(super) fn delete(table: &str, key: &Key) -> TransactWriteItem {
    let delete = Delete::builder().table_name(table).set_key(Some(key.item())).build();
    TransactWriteItem::builder().delete(delete.expect("table and key are set")).build()
}
