//! Values that a settings file holds as text.

use std::fmt::Display;
use std::str::FromStr;

use serde::{Deserialize, Deserializer};

pub(super) fn one<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: Display>,
{
    read(&String::deserialize(deserializer)?)
}

pub(super) fn maybe<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: Display>,
{
    Option::<String>::deserialize(deserializer)?.map(|text| read(&text)).transpose()
}

pub(super) fn each<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: Display>,
{
    Vec::<String>::deserialize(deserializer)?.iter().map(|text| read(text)).collect()
}

fn read<E: serde::de::Error, T: FromStr<Err: Display>>(text: &str) -> Result<T, E> {
    text.parse().map_err(|error| E::custom(format!("'{text}': {error}")))
}
