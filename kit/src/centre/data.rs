//! Reads `data` of an event in one pass. Serde's `flatten`, which would do the same from a
//! derive, keeps every value aside first; that is a third of the work on an event.

use super::event::{Data, Detail};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;

/// A name in it. In the order of [`Data`].
#[derive(serde::Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Name {
    Lane,
    Kind,
    Covert,
    Boot,
    Number,
    Pendant,
    Wearer,
    Counter,
    Replayed,
    DelayMs,
    Detail,
    More(String),
}

struct Read;

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Read)
    }
}

impl<'de> Visitor<'de> for Read {
    type Value = Data;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the data of an event")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Data, A::Error> {
        let (mut lane, mut kind, mut covert, mut boot) = (None, None, None, None);
        let (mut number, mut pendant, mut wearer, mut counter) = (None, None, None, None);
        let (mut replayed, mut delay_ms, mut detail) = (None, None, None::<Option<Detail>>);
        let mut more = Map::<String, Value>::new();
        while let Some(name) = map.next_key()? {
            match name {
                Name::Lane => once(&mut map, &mut lane, "lane")?,
                Name::Kind => once(&mut map, &mut kind, "kind")?,
                Name::Covert => once(&mut map, &mut covert, "covert")?,
                Name::Boot => once(&mut map, &mut boot, "boot")?,
                Name::Number => once(&mut map, &mut number, "number")?,
                Name::Pendant => once(&mut map, &mut pendant, "pendant")?,
                Name::Wearer => once(&mut map, &mut wearer, "wearer")?,
                Name::Counter => once(&mut map, &mut counter, "counter")?,
                Name::Replayed => once(&mut map, &mut replayed, "replayed")?,
                Name::DelayMs => once(&mut map, &mut delay_ms, "delay_ms")?,
                Name::Detail => once(&mut map, &mut detail, "detail")?,
                Name::More(name) => drop(more.insert(name, map.next_value()?)),
            }
        }
        let missing = A::Error::missing_field;
        Ok(Data {
            lane: lane.ok_or_else(|| missing("lane"))?,
            kind: kind.ok_or_else(|| missing("kind"))?,
            covert: covert.ok_or_else(|| missing("covert"))?,
            boot: boot.ok_or_else(|| missing("boot"))?,
            number: number.ok_or_else(|| missing("number"))?,
            pendant: pendant.flatten(),
            wearer: wearer.flatten(),
            counter: counter.flatten(),
            replayed: replayed.unwrap_or(false),
            delay_ms: delay_ms.flatten(),
            detail: detail.flatten(),
            more,
        })
    }
}

/// A value; a second one of the same name could be read differently by others.
fn once<'de, A: MapAccess<'de>, T: Deserialize<'de>>(
    map: &mut A,
    place: &mut Option<T>,
    name: &'static str,
) -> Result<(), A::Error> {
    if place.replace(map.next_value()?).is_some() {
        return Err(A::Error::duplicate_field(name));
    }
    Ok(())
}
