//! [`Envelope`]: the members of a message as unread JSON texts, so that their order does not matter.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::document::Document;
use crate::limits::Limits;

/// The members of a request or response; those of the other kind of message are ignored by who reads it.
///
/// A member that is `null` counts as left out: some clients write every optional member.
#[derive(Default)]
pub(crate) struct Envelope<'d> {
    pub(crate) id: Option<&'d str>,
    pub(crate) model_name: Option<&'d str>,
    pub(crate) model_version: Option<&'d str>,
    pub(crate) parameters: Option<&'d str>,
    pub(crate) inputs: Option<Items<'d>>,
    pub(crate) outputs: Option<Items<'d>>,
}

/// The inputs or outputs of a message.
#[derive(Default)]
pub(crate) struct Items<'d> {
    /// The first ones, as many as are allowed.
    pub(crate) kept: Vec<Item<'d>>,
    /// How many there were.
    pub(crate) given: usize,
}

/// The members of a tensor or of a requested output.
#[derive(Default)]
pub(crate) struct Item<'d> {
    pub(crate) name: Option<&'d str>,
    pub(crate) datatype: Option<&'d str>,
    pub(crate) shape: Option<&'d str>,
    pub(crate) parameters: Option<&'d str>,
    pub(crate) data: Option<&'d str>,
}

/// Reads an [`Envelope`]: one pass over the body, in which only names of members are looked at.
pub(crate) struct EnvelopeSeed<'d> {
    pub(crate) document: &'d Document<'d>,
    pub(crate) limits: &'d Limits,
}

impl<'d> DeserializeSeed<'d> for EnvelopeSeed<'d> {
    type Value = Envelope<'d>;

    fn deserialize<D: Deserializer<'d>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'d> Visitor<'d> for EnvelopeSeed<'d> {
    type Value = Envelope<'d>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'d>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let Self { document, limits } = self;
        let tensors = ItemsSeed { document, most: limits.tensors.max(limits.requested_outputs) };
        let mut envelope = Envelope::default();
        while let Some(Key(member)) = map.next_key()? {
            match member {
                Member::Id => take(&mut envelope.id, member, document, &mut map)?,
                Member::ModelName => take(&mut envelope.model_name, member, document, &mut map)?,
                Member::ModelVersion => take(&mut envelope.model_version, member, document, &mut map)?,
                Member::Parameters => take(&mut envelope.parameters, member, document, &mut map)?,
                Member::Inputs => take_items(&mut envelope.inputs, member, tensors, &mut map)?,
                Member::Outputs => take_items(&mut envelope.outputs, member, tensors, &mut map)?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(envelope)
    }
}

#[derive(Clone, Copy)]
struct ItemsSeed<'d> {
    document: &'d Document<'d>,
    most: usize,
}

impl<'d> DeserializeSeed<'d> for ItemsSeed<'d> {
    type Value = Option<Items<'d>>;

    fn deserialize<D: Deserializer<'d>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'d> Visitor<'d> for ItemsSeed<'d> {
    type Value = Option<Items<'d>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'d>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut items = Items::default();
        while items.given < self.most {
            let Some(item) = seq.next_element_seed(ItemSeed(self.document))? else {
                return Ok(Some(items));
            };
            items.kept.push(item);
            items.given += 1;
        }
        // Only counted, not kept: the message can say how many there were.
        while seq.next_element::<IgnoredAny>()?.is_some() {
            items.given += 1;
        }
        Ok(Some(items))
    }
}

struct ItemSeed<'d>(&'d Document<'d>);

impl<'d> DeserializeSeed<'d> for ItemSeed<'d> {
    type Value = Item<'d>;

    fn deserialize<D: Deserializer<'d>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'d> Visitor<'d> for ItemSeed<'d> {
    type Value = Item<'d>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'d>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut item = Item::default();
        while let Some(Key(member)) = map.next_key()? {
            match member {
                Member::Name => take(&mut item.name, member, self.0, &mut map)?,
                Member::Datatype => take(&mut item.datatype, member, self.0, &mut map)?,
                Member::Shape => take(&mut item.shape, member, self.0, &mut map)?,
                Member::Parameters => take(&mut item.parameters, member, self.0, &mut map)?,
                Member::Data => take(&mut item.data, member, self.0, &mut map)?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(item)
    }
}

fn take<'d, A: MapAccess<'d>>(
    slot: &mut Option<&'d str>,
    member: Member,
    document: &'d Document<'d>,
    map: &mut A,
) -> Result<(), A::Error> {
    let value = document.text_of(map.next_value::<&'d RawValue>()?);
    fill(slot, member, (value != "null").then_some(value))
}

fn take_items<'d, A: MapAccess<'d>>(
    slot: &mut Option<Items<'d>>,
    member: Member,
    seed: ItemsSeed<'d>,
    map: &mut A,
) -> Result<(), A::Error> {
    let items = map.next_value_seed(seed)?;
    fill(slot, member, items)
}

/// A second value for a member is refused: two readers of one body must not read two requests.
fn fill<T, E: serde::de::Error>(slot: &mut Option<T>, member: Member, value: Option<T>) -> Result<(), E> {
    if slot.is_some() && value.is_some() {
        return Err(E::custom(format_args!("`{}` is given twice", member.name())));
    }
    *slot = value.or(slot.take());
    Ok(())
}

#[derive(Clone, Copy)]
enum Member {
    Id,
    ModelName,
    ModelVersion,
    Parameters,
    Inputs,
    Outputs,
    Name,
    Datatype,
    Shape,
    Data,
    Unknown,
}

impl Member {
    const KNOWN: [Member; 10] = [
        Member::Id,
        Member::ModelName,
        Member::ModelVersion,
        Member::Parameters,
        Member::Inputs,
        Member::Outputs,
        Member::Name,
        Member::Datatype,
        Member::Shape,
        Member::Data,
    ];

    fn name(self) -> &'static str {
        match self {
            Member::Id => "id",
            Member::ModelName => "model_name",
            Member::ModelVersion => "model_version",
            Member::Parameters => "parameters",
            Member::Inputs => "inputs",
            Member::Outputs => "outputs",
            Member::Name => "name",
            Member::Datatype => "datatype",
            Member::Shape => "shape",
            Member::Data => "data",
            Member::Unknown => "",
        }
    }
}

struct Key(Member);

impl<'de> serde::Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;

        impl Visitor<'_> for KeyVisitor {
            type Value = Key;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a member")
            }

            fn visit_str<E>(self, name: &str) -> Result<Key, E> {
                let known = Member::KNOWN.into_iter().find(|member| member.name() == name);
                Ok(Key(known.unwrap_or(Member::Unknown)))
            }
        }

        deserializer.deserialize_identifier(KeyVisitor)
    }
}
