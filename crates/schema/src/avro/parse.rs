//! An Avro schema as its specification writes it, to types.
use super::{Field, Id, Name, Type};
use crate::Invalid;
use serde_json::{Map, Value};
use std::collections::{HashMap, HashSet};

/// Of one schema.
const TYPES: usize = 10_000;

/// What stands for a field that is left out; looked at when all types are known, for it may be of any of them.
pub(super) struct Default<'a> {
    pub(super) of: Id,
    pub(super) value: &'a Value,
    pub(super) at: String,
}
pub(super) fn read(schema: &Value) -> Result<(Vec<Type>, Vec<Default<'_>>), Invalid> {
    let mut reader = Reader {
        types: Vec::new(),
        names: HashMap::new(),
        defaults: Vec::new(),
    };
    let first = reader.any(schema, "", "")?;
    debug_assert_eq!(first, 0);
    Ok((reader.types, reader.defaults))
}
struct Reader<'a> {
    types: Vec<Type>,
    names: HashMap<String, Id>,
    defaults: Vec<Default<'a>>,
}
impl<'a> Reader<'a> {
    /// Its place is taken before what it is made of takes one.
    fn place(&mut self, at: &str) -> Result<Id, Invalid> {
        if self.types.len() >= TYPES {
            return Err(Invalid::new(at, format!("the schema has more than {TYPES} types")));
        }
        self.types.push(Type::Null);
        Ok(self.types.len() - 1)
    }
    fn put(&mut self, id: Id, is: Type) -> Id {
        if let Some(place) = self.types.get_mut(id) {
            *place = is;
        }
        id
    }
    fn any(&mut self, schema: &'a Value, space: &str, at: &str) -> Result<Id, Invalid> {
        match schema {
            Value::String(word) => self.word(word, space, at),
            Value::Array(branches) => self.union(branches, space, at),
            Value::Object(members) => self.object(members, space, at),
            Value::Null | Value::Bool(_) | Value::Number(_) => Err(Invalid::new(at, "a type is a name, an object or a list of types")),
        }
    }
    fn word(&mut self, word: &str, space: &str, at: &str) -> Result<Id, Invalid> {
        let is = match word {
            "null" => Type::Null,
            "boolean" => Type::Boolean,
            "int" => Type::Int,
            "long" => Type::Long,
            "float" => Type::Float,
            "double" => Type::Double,
            "bytes" => Type::Bytes,
            "string" => Type::String,
            name => {
                let known = self.names.get(&full(name, space)).or_else(|| self.names.get(name));
                return known.copied().ok_or_else(|| {
                    Invalid::new(at, format!("there is no type `{}`", crate::text::cut(name, 100)))
                        .hint("a type is declared before, or where, it is used")
                });
            }
        };
        let id = self.place(at)?;
        Ok(self.put(id, is))
    }
    fn union(&mut self, branches: &'a [Value], space: &str, at: &str) -> Result<Id, Invalid> {
        let id = self.place(at)?;
        let mut of = Vec::with_capacity(branches.len());
        let mut seen = HashSet::new();
        for (i, branch) in branches.iter().enumerate() {
            let at = format!("{at}/{i}");
            let branch = self.any(branch, space, &at)?;
            let Some(is) = self.types.get(branch) else { continue };
            if matches!(is, Type::Union(_)) {
                return Err(Invalid::new(at, "a union holds no union"));
            }
            if !seen.insert(is.word().to_owned()) {
                return Err(Invalid::new(at, format!("the union holds `{}` twice", is.word())));
            }
            of.push(branch);
        }
        if of.is_empty() {
            return Err(Invalid::new(at, "a union holds at least one type"));
        }
        Ok(self.put(id, Type::Union(of)))
    }
    fn object(&mut self, members: &'a Map<String, Value>, space: &str, at: &str) -> Result<Id, Invalid> {
        let kind = members.get("type").ok_or_else(|| Invalid::new(at, "`type` is missing"))?;
        let below = |key: &str| format!("{at}/{key}");
        match kind {
            Value::String(word) if word == "array" || word == "map" => {
                let id = self.place(at)?;
                let key = if word == "array" { "items" } else { "values" };
                let of = members.get(key).ok_or_else(|| Invalid::new(at, format!("`{key}` is missing")))?;
                let of = self.any(of, space, &below(key))?;
                Ok(self.put(id, if word == "array" { Type::Array(of) } else { Type::Map(of) }))
            }
            Value::String(word) if matches!(word.as_str(), "record" | "error" | "enum" | "fixed") => self.named(word, members, space, at),
            // `{"type": "long", "logicalType": …}`: the value is a long.
            other => self.any(other, space, &below("type")),
        }
    }
    fn named(&mut self, word: &str, members: &'a Map<String, Value>, space: &str, at: &str) -> Result<Id, Invalid> {
        let text = |key: &str| members.get(key).and_then(Value::as_str);
        let name = text("name").ok_or_else(|| Invalid::new(at, format!("the {word} has no `name`")))?;
        let (own, last) = match (name.rsplit_once('.'), text("namespace")) {
            (Some((own, last)), _) => (own, last),
            (None, Some(own)) => (own, name),
            (None, None) => (space, name),
        };
        if !is_name(last) || !(own.is_empty() || own.split('.').all(is_name)) {
            return Err(Invalid::new(
                format!("{at}/name"),
                "a name has letters, digits and `_`, and begins with no digit",
            ));
        }
        let own = own.to_owned();
        let called = Name { full: full(last, &own) };
        let id = self.place(at)?;
        if self.names.insert(called.full.clone(), id).is_some() {
            return Err(Invalid::new(
                format!("{at}/name"),
                format!("the type `{}` is there twice", called.full),
            ));
        }
        let is = match word {
            "enum" => {
                let symbols = symbols(members, at)?;
                let is_one = |default: &Value| symbols.iter().any(|symbol| default == symbol);
                if members.get("default").is_some_and(|default| !is_one(default)) {
                    return Err(Invalid::new(format!("{at}/default"), "the default is none of the symbols"));
                }
                Type::Enum(called, symbols)
            }
            "fixed" => {
                let size = members
                    .get("size")
                    .and_then(Value::as_u64)
                    .and_then(|size| usize::try_from(size).ok());
                let size = size.ok_or_else(|| Invalid::new(at, "a fixed has a `size`: a whole number"))?;
                Type::Fixed(called, size)
            }
            _ => {
                // Known by its name to what it holds.
                let known = Name { full: called.full.clone() };
                self.put(id, Type::Record(known, Vec::new()));
                Type::Record(called, self.fields(members, &own, at)?)
            }
        };
        Ok(self.put(id, is))
    }
    fn fields(&mut self, members: &'a Map<String, Value>, space: &str, at: &str) -> Result<Vec<Field>, Invalid> {
        let Some(Value::Array(all)) = members.get("fields") else {
            return Err(Invalid::new(at, "a record has `fields`: a list"));
        };
        let mut fields = Vec::with_capacity(all.len());
        let mut seen = HashSet::new();
        for (i, field) in all.iter().enumerate() {
            let at = format!("{at}/fields/{i}");
            let name = field.get("name").and_then(Value::as_str);
            let name = name.filter(|name| is_name(name)).ok_or_else(|| {
                Invalid::new(
                    format!("{at}/name"),
                    "a field has a `name`: letters, digits and `_`, and no digit first",
                )
            })?;
            if !seen.insert(name) {
                return Err(Invalid::new(format!("{at}/name"), format!("the field `{name}` is there twice")));
            }
            let of = field.get("type").ok_or_else(|| Invalid::new(at.as_str(), "`type` is missing"))?;
            let of = self.any(of, space, &format!("{at}/type"))?;
            if let Some(value) = field.get("default") {
                let at = format!("{at}/default");
                self.defaults.push(Default { of, value, at });
            }
            fields.push(Field {
                name: name.to_owned(),
                of,
                defaults: field.get("default").is_some(),
            });
        }
        Ok(fields)
    }
}
fn symbols(members: &Map<String, Value>, at: &str) -> Result<Vec<String>, Invalid> {
    let at = format!("{at}/symbols");
    let Some(Value::Array(symbols)) = members.get("symbols") else {
        return Err(Invalid::new(at, "an enum has `symbols`: a list of names"));
    };
    let mut seen = HashSet::new();
    let mut out = Vec::with_capacity(symbols.len());
    for (i, symbol) in symbols.iter().enumerate() {
        match symbol.as_str().filter(|symbol| is_name(symbol)) {
            Some(symbol) if seen.insert(symbol) => out.push(symbol.to_owned()),
            Some(symbol) => return Err(Invalid::new(format!("{at}/{i}"), format!("the symbol `{symbol}` is there twice"))),
            None => {
                return Err(Invalid::new(
                    format!("{at}/{i}"),
                    "a symbol has letters, digits and `_`, and begins with no digit",
                ));
            }
        }
    }
    Ok(out)
}
fn full(name: &str, space: &str) -> String {
    if name.contains('.') || space.is_empty() {
        name.to_owned()
    } else {
        format!("{space}.{name}")
    }
}
fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
