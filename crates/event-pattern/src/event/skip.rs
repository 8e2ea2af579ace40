//! Steps over what no pattern mentions, and finds out whether its tokens follow each other as JSON's do.
//!
//! Called by `walk`. Most of a usual event is passed here, so a token costs one look into a table.

use super::walk::{Broken, item};

/// After `{`.
const OBJECT: u8 = 0;
/// After a comma in an object.
const NAME: u8 = 1;
/// After a colon.
const MEMBER: u8 = 2;
/// After an object or array in an object.
const MEMBER_END: u8 = 3;
/// After `[`.
const ARRAY: u8 = 4;
/// After a comma in an array.
const ELEMENT: u8 = 5;
/// After an object or array in an array.
const ELEMENT_END: u8 = 6;
const STATES: usize = 7;

const CLOSE: u8 = 7;
const OPEN_OBJECT: u8 = 8;
const OPEN_ARRAY: u8 = 9;
const BROKEN: u8 = 10;

/// What stands before a token: nothing, a string, or another scalar.
const NOTHING: usize = 0;
const STRING: usize = 1;
const OTHER: usize = 2;

/// Tokens by four bits that tell them apart.
const fn kind(token: u8) -> usize {
    (token & 7 | (token & 0x20) >> 2) as usize
}

const fn place(state: u8, before: usize, token: u8) -> usize {
    (state as usize) << 6 | before << 4 | kind(token)
}

/// What follows from a state, what stands before the next token, and the token.
const NEXT: [u8; STATES << 6] = {
    let mut next = [BROKEN; STATES << 6];
    next[place(OBJECT, NOTHING, b'}')] = CLOSE;
    next[place(OBJECT, STRING, b':')] = MEMBER;
    next[place(NAME, STRING, b':')] = MEMBER;
    next[place(MEMBER, NOTHING, b'{')] = OPEN_OBJECT;
    next[place(MEMBER, NOTHING, b'[')] = OPEN_ARRAY;
    next[place(MEMBER, STRING, b',')] = NAME;
    next[place(MEMBER, STRING, b'}')] = CLOSE;
    next[place(MEMBER, OTHER, b',')] = NAME;
    next[place(MEMBER, OTHER, b'}')] = CLOSE;
    next[place(MEMBER_END, NOTHING, b',')] = NAME;
    next[place(MEMBER_END, NOTHING, b'}')] = CLOSE;
    next[place(ARRAY, NOTHING, b']')] = CLOSE;
    let mut state = ARRAY;
    while state <= ELEMENT {
        next[place(state, NOTHING, b'{')] = OPEN_OBJECT;
        next[place(state, NOTHING, b'[')] = OPEN_ARRAY;
        next[place(state, STRING, b',')] = ELEMENT;
        next[place(state, STRING, b']')] = CLOSE;
        next[place(state, OTHER, b',')] = ELEMENT;
        next[place(state, OTHER, b']')] = CLOSE;
        state += 1;
    }
    next[place(ELEMENT_END, NOTHING, b',')] = ELEMENT;
    next[place(ELEMENT_END, NOTHING, b']')] = CLOSE;
    next
};

/// Steps over the object or array that opens with this token, and tells the token that closes it.
///
/// `depth` is how many levels it may have, 128 at most.
pub(super) fn skip(
    bytes: &[u8],
    positions: &[u32],
    open: usize,
    depth: usize,
) -> Result<usize, Broken> {
    let mut at = *positions.get(open).ok_or(Broken)? as usize;
    // The containers around, the innermost in the lowest bit: whether each is an object.
    let mut containers = u128::from(bytes[at] == b'{');
    let mut state = if containers == 1 { OBJECT } else { ARRAY };
    let mut left = depth.checked_sub(1).ok_or(Broken)?;
    for (token, &position) in positions.iter().enumerate().skip(open + 1) {
        let from = at + 1;
        at = position as usize;
        let before = match item(bytes, from, at) {
            None => NOTHING,
            Some(item) if bytes[item] == b'"' => STRING,
            Some(_) => OTHER,
        };
        let next = NEXT[place(state, before, bytes[at])];
        if next < CLOSE {
            state = next;
            continue;
        }
        state = match next {
            CLOSE => {
                left += 1;
                if left == depth {
                    return Ok(token);
                }
                containers >>= 1;
                if containers & 1 == 1 { MEMBER_END } else { ELEMENT_END }
            }
            OPEN_OBJECT | OPEN_ARRAY => {
                left = left.checked_sub(1).ok_or(Broken)?;
                let is_object = next == OPEN_OBJECT;
                containers = containers << 1 | u128::from(is_object);
                if is_object { OBJECT } else { ARRAY }
            }
            _ => return Err(Broken),
        };
    }
    Err(Broken)
}
