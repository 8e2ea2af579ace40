//! JSON as it is written: names may repeat, numbers keep their text, and strings may hold lone surrogates.

/// The code points of a string. A lone surrogate is one of them.
pub(crate) type Text = Vec<u32>;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Object(Vec<(Text, Value)>),
    Array(Vec<Value>),
    Text(Text),
    Number(String),
    True,
    False,
    Null,
}

pub(crate) fn text(text: &str) -> Text {
    text.chars().map(u32::from).collect()
}

/// The value at the beginning of the text, if there is one. What stands behind it does not matter.
pub(crate) fn parse(json: &str) -> Option<Value> {
    let characters: Vec<char> = json.chars().collect();
    Parser { rest: &characters }.value()
}

struct Parser<'a> {
    rest: &'a [char],
}

impl Parser<'_> {
    fn peek(&mut self) -> Option<char> {
        while let [' ' | '\t' | '\n' | '\r', rest @ ..] = self.rest {
            self.rest = rest;
        }
        self.rest.first().copied()
    }

    /// Takes the next character, whatever it is.
    fn next(&mut self) -> Option<char> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn expect(&mut self, wanted: char) -> Option<()> {
        (self.peek()? == wanted).then(|| self.next())?.map(|_| ())
    }

    fn word(&mut self, word: &str, value: Value) -> Option<Value> {
        word.chars().all(|c| self.next() == Some(c)).then_some(value)
    }

    fn value(&mut self) -> Option<Value> {
        match self.peek()? {
            '{' => self.object(),
            '[' => self.array(),
            '"' => self.string().map(Value::Text),
            't' => self.word("true", Value::True),
            'f' => self.word("false", Value::False),
            'n' => self.word("null", Value::Null),
            _ => self.number(),
        }
    }

    fn object(&mut self) -> Option<Value> {
        self.expect('{')?;
        let mut members = Vec::new();
        while self.peek()? != '}' {
            if !members.is_empty() {
                self.expect(',')?;
                self.peek()?;
            }
            let name = self.string()?;
            self.expect(':')?;
            members.push((name, self.value()?));
        }
        self.expect('}')?;
        Some(Value::Object(members))
    }

    fn array(&mut self) -> Option<Value> {
        self.expect('[')?;
        let mut elements = Vec::new();
        while self.peek()? != ']' {
            if !elements.is_empty() {
                self.expect(',')?;
            }
            elements.push(self.value()?);
        }
        self.expect(']')?;
        Some(Value::Array(elements))
    }

    fn number(&mut self) -> Option<Value> {
        let is_part = |c: &char| matches!(c, '0'..='9' | '-' | '+' | '.' | 'e' | 'E');
        let length = self.rest.iter().take_while(|c| is_part(c)).count();
        let (raw, rest) = self.rest.split_at(length);
        self.rest = rest;
        let raw: String = raw.iter().collect();
        raw.parse::<f64>().ok()?;
        Some(Value::Number(raw))
    }

    fn string(&mut self) -> Option<Text> {
        self.expect('"')?;
        let mut units: Vec<u16> = Vec::new();
        loop {
            let c = match self.next()? {
                '"' => break,
                '\\' => match self.next()? {
                    'u' => {
                        let digits: String = (0..4).map_while(|_| self.next()).collect();
                        units.push(u16::from_str_radix(&digits, 16).ok()?);
                        continue;
                    }
                    'b' => '\u{8}',
                    'f' => '\u{c}',
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    literal => literal,
                },
                c => c,
            };
            units.extend_from_slice(c.encode_utf16(&mut [0; 2]));
        }
        let points = char::decode_utf16(units)
            .map(|c| c.map_or_else(|lone| u32::from(lone.unpaired_surrogate()), u32::from));
        Some(points.collect())
    }
}
