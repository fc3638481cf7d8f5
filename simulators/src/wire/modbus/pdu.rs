//! What a Modbus device answers (MODBUS Application Protocol V1.1b3, section 6): functions 1 to 6, 15, 16 and 23.
//!
//! Pure. A device says what its map has ([`Tables`]); which exception follows from what is said here.

/// Illegal function, data address, data value (section 7).
pub(crate) const ILLEGAL_FUNCTION: u8 = 1;
pub(crate) const ILLEGAL_ADDRESS: u8 = 2;
pub(crate) const ILLEGAL_VALUE: u8 = 3;

/// The most that one request may touch (sections 6.1, 6.3, 6.11, 6.12, 6.17).
const READ_BITS_MAX: u16 = 2_000;
const READ_WORDS_MAX: u16 = 125;
const WRITE_BITS_MAX: u16 = 1_968;
const WRITE_WORDS_MAX: u16 = 123;
const EXCHANGE_WORDS_MAX: u16 = 121;

/// What switches a coil on (section 6.5); 0 switches it off, and nothing else is a value.
const ON: u16 = 0xFF00;

/// A device's register map; addresses count from 0 as on the wire. What it does not have is `None`.
pub(crate) trait Tables {
    /// The functions that the device knows.
    fn functions(&self) -> &'static [u8];

    /// The most registers that it gives in one read.
    fn read_words_max(&self) -> u16 {
        READ_WORDS_MAX
    }

    fn coil(&self, address: u16) -> Option<bool>;
    fn discrete_input(&self, address: u16) -> Option<bool>;
    fn holding_register(&self, address: u16) -> Option<u16>;
    fn input_register(&self, _address: u16) -> Option<u16> {
        None
    }

    /// Writes a coil that is there.
    fn write_coil(&mut self, address: u16, on: bool);

    /// Whether a holding register can be written.
    fn is_writable(&self, _address: u16) -> bool {
        false
    }

    /// Writes a register that can be.
    fn write_register(&mut self, _address: u16, _word: u16) {}
}

/// The PDU that answers `request`, whose reads give no more than `words_max` registers.
pub(crate) fn answer(request: &[u8], tables: &mut dyn Tables, words_max: u16) -> Vec<u8> {
    let Some((&function, data)) = request.split_first() else {
        return exception(0, ILLEGAL_FUNCTION);
    };
    if !tables.functions().contains(&function) {
        return exception(function, ILLEGAL_FUNCTION);
    }
    let words_max = words_max.min(tables.read_words_max()).min(READ_WORDS_MAX);
    let body = match function {
        1 => read_bits(data, |address| tables.coil(address)),
        2 => read_bits(data, |address| tables.discrete_input(address)),
        3 => read_words(data, words_max, |address| tables.holding_register(address)),
        4 => read_words(data, words_max, |address| tables.input_register(address)),
        5 => write_coil(data, tables),
        6 => write_register(data, tables),
        15 => write_coils(data, tables),
        16 => write_registers(data, WRITE_WORDS_MAX, tables),
        23 => exchange(data, words_max, tables),
        _ => Err(ILLEGAL_FUNCTION),
    };
    match body {
        Ok(body) => [&[function][..], &body].concat(),
        Err(code) => exception(function, code),
    }
}

/// The PDU of an exception.
pub(crate) fn exception(function: u8, code: u8) -> Vec<u8> {
    vec![function | 0x80, code]
}

/// The words at the front of `data`, as many as are wanted.
fn words<const COUNT: usize>(data: &[u8]) -> Result<[u16; COUNT], u8> {
    let mut words = [0; COUNT];
    let bytes = data.get(..2 * COUNT).ok_or(ILLEGAL_VALUE)?;
    for (word, pair) in words.iter_mut().zip(bytes.chunks_exact(2)) {
        *word = u16::from_be_bytes([pair[0], pair[1]]);
    }
    Ok(words)
}

/// Exactly so many words, and nothing behind them.
fn only<const COUNT: usize>(data: &[u8]) -> Result<[u16; COUNT], u8> {
    if data.len() == 2 * COUNT {
        words(data)
    } else {
        Err(ILLEGAL_VALUE)
    }
}

/// The addresses of `count` things from `first` on.
fn addresses(first: u16, count: u16, most: u16) -> Result<std::ops::RangeInclusive<u16>, u8> {
    if !(1..=most).contains(&count) {
        return Err(ILLEGAL_VALUE);
    }
    let last = first.checked_add(count - 1).ok_or(ILLEGAL_ADDRESS)?;
    Ok(first..=last)
}

fn read_bits(data: &[u8], bit: impl Fn(u16) -> Option<bool>) -> Result<Vec<u8>, u8> {
    let [first, count] = only(data)?;
    let bits: Vec<bool> = addresses(first, count, READ_BITS_MAX)?
        .map(|address| bit(address).ok_or(ILLEGAL_ADDRESS))
        .collect::<Result<_, _>>()?;
    let packed = bits.chunks(8).map(|eight| {
        let byte = |byte, &on| byte << 1 | u8::from(on);
        eight.iter().rev().fold(0, byte)
    });
    Ok(with_byte_count(packed.collect()))
}

fn read_words(data: &[u8], most: u16, word: impl Fn(u16) -> Option<u16>) -> Result<Vec<u8>, u8> {
    let [first, count] = only(data)?;
    let words: Vec<[u8; 2]> = addresses(first, count, most)?
        .map(|address| word(address).map(u16::to_be_bytes).ok_or(ILLEGAL_ADDRESS))
        .collect::<Result<_, _>>()?;
    Ok(with_byte_count(words.concat()))
}

fn with_byte_count(mut bytes: Vec<u8>) -> Vec<u8> {
    let count = u8::try_from(bytes.len()).expect("at most 250 bytes of data");
    bytes.insert(0, count);
    bytes
}

fn write_coil(data: &[u8], tables: &mut dyn Tables) -> Result<Vec<u8>, u8> {
    let [address, value] = only(data)?;
    if value != ON && value != 0 {
        return Err(ILLEGAL_VALUE);
    }
    tables.coil(address).ok_or(ILLEGAL_ADDRESS)?;
    tables.write_coil(address, value == ON);
    Ok(data.to_vec())
}

fn write_register(data: &[u8], tables: &mut dyn Tables) -> Result<Vec<u8>, u8> {
    let [address, word] = only(data)?;
    if !tables.is_writable(address) {
        return Err(ILLEGAL_ADDRESS);
    }
    tables.write_register(address, word);
    Ok(data.to_vec())
}

/// What follows address and count in a multiple write: as many bytes as they themselves and the count say.
fn written(data: &[u8], expected: usize) -> Result<&[u8], u8> {
    match data.split_first() {
        Some((&count, bytes)) if usize::from(count) == bytes.len() && bytes.len() == expected => {
            Ok(bytes)
        }
        _ => Err(ILLEGAL_VALUE),
    }
}

fn write_coils(data: &[u8], tables: &mut dyn Tables) -> Result<Vec<u8>, u8> {
    let [first, count] = words(data)?;
    let addresses = addresses(first, count, WRITE_BITS_MAX)?;
    let bytes = written(&data[4..], usize::from(count).div_ceil(8))?;
    // All or nothing: nothing is written before each address is known to exist.
    if addresses
        .clone()
        .any(|address| tables.coil(address).is_none())
    {
        return Err(ILLEGAL_ADDRESS);
    }
    for (n, address) in addresses.enumerate() {
        tables.write_coil(address, bytes[n / 8] >> (n % 8) & 1 == 1);
    }
    Ok(data[..4].to_vec())
}

fn write_registers(data: &[u8], most: u16, tables: &mut dyn Tables) -> Result<Vec<u8>, u8> {
    let [first, count] = words(data)?;
    let addresses = addresses(first, count, most)?;
    let bytes = written(&data[4..], 2 * usize::from(count))?;
    if addresses
        .clone()
        .any(|address| !tables.is_writable(address))
    {
        return Err(ILLEGAL_ADDRESS);
    }
    for (address, pair) in addresses.zip(bytes.chunks_exact(2)) {
        tables.write_register(address, u16::from_be_bytes([pair[0], pair[1]]));
    }
    Ok(data[..4].to_vec())
}

/// Writes, then reads (section 6.17); neither, when one of them cannot be.
fn exchange(data: &[u8], words_max: u16, tables: &mut dyn Tables) -> Result<Vec<u8>, u8> {
    words::<4>(data)?;
    let (read, write) = data.split_at(4);
    read_words(read, words_max, |address| tables.holding_register(address))?;
    write_registers(write, EXCHANGE_WORDS_MAX, tables)?;
    read_words(read, words_max, |address| tables.holding_register(address))
}

#[cfg(test)]
mod tests;
