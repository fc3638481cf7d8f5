//! Each function on a small device: what it answers, what it writes, and which exception comes when.

use super::*;

/// Eight coils, eight inputs, four words of each kind; the first two holding registers can be written.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Small {
    coils: [bool; 8],
    words: [u16; 4],
}

const SMALL: Small = Small {
    coils: [true, false, true, false, false, false, false, true],
    words: [0x1234, 0x5678, 7, 8],
};

impl Tables for Small {
    fn functions(&self) -> &'static [u8] {
        &[1, 2, 3, 4, 5, 6, 15, 16, 23]
    }

    fn coil(&self, address: u16) -> Option<bool> {
        self.coils.get(usize::from(address)).copied()
    }

    fn discrete_input(&self, address: u16) -> Option<bool> {
        (100..108).contains(&address).then_some(address == 101)
    }

    fn holding_register(&self, address: u16) -> Option<u16> {
        self.words.get(usize::from(address)).copied()
    }

    fn input_register(&self, address: u16) -> Option<u16> {
        (address < 4).then_some(0x0A00 + address)
    }

    fn write_coil(&mut self, address: u16, on: bool) {
        self.coils[usize::from(address)] = on;
    }

    fn is_writable(&self, address: u16) -> bool {
        address < 2
    }

    fn write_register(&mut self, address: u16, word: u16) {
        self.words[usize::from(address)] = word;
    }
}

/// `reply` comes, and the device is what `change` makes of it.
#[track_caller]
fn check_write(request: &[u8], reply: &[u8], change: impl FnOnce(&mut Small)) {
    let (mut small, mut expected) = (SMALL, SMALL);
    assert_eq!(
        answer(request, &mut small, u16::MAX),
        reply,
        "to {request:02x?}"
    );
    change(&mut expected);
    assert_eq!(small, expected, "after {request:02x?}");
}

#[track_caller]
fn check(request: &[u8], reply: &[u8]) {
    check_write(request, reply, |_unchanged| {});
}

#[test]
fn each_table_is_read_by_its_function() {
    check(&[1, 0, 0, 0, 8], &[1, 1, 0b1000_0101]);
    check(&[1, 0, 2, 0, 1], &[1, 1, 1]);
    check(&[2, 0, 100, 0, 3], &[2, 1, 0b010]);
    check(&[3, 0, 0, 0, 2], &[3, 4, 0x12, 0x34, 0x56, 0x78]);
    check(&[4, 0, 2, 0, 2], &[4, 4, 0x0A, 2, 0x0A, 3]);
}

#[test]
fn each_write_is_done_and_echoed() {
    check_write(&[5, 0, 1, 0xFF, 0], &[5, 0, 1, 0xFF, 0], |small| {
        small.coils[1] = true
    });
    check_write(&[5, 0, 0, 0, 0], &[5, 0, 0, 0, 0], |small| {
        small.coils[0] = false
    });
    check_write(&[6, 0, 1, 0, 9], &[6, 0, 1, 0, 9], |small| {
        small.words[1] = 9
    });
    check_write(&[15, 0, 0, 0, 3, 1, 0b010], &[15, 0, 0, 0, 3], |small| {
        small.coils[..3].copy_from_slice(&[false, true, false]);
    });
    check_write(
        &[16, 0, 0, 0, 2, 4, 0, 1, 0, 2],
        &[16, 0, 0, 0, 2],
        |small| {
            small.words[..2].copy_from_slice(&[1, 2]);
        },
    );
    // What it reads is what was there after the write.
    check_write(
        &[23, 0, 1, 0, 2, 0, 1, 0, 1, 2, 0, 5],
        &[23, 4, 0, 5, 0, 7],
        |small| {
            small.words[1] = 5;
        },
    );
}

#[test]
fn what_cannot_be_is_refused_by_its_code_and_changes_nothing() {
    for function in [0, 7, 22, 43, 0x81] {
        check(
            &[function, 0, 0, 0, 1],
            &[function | 0x80, ILLEGAL_FUNCTION],
        );
    }
    for (request, code) in [
        (&[1, 0, 7, 0, 2][..], ILLEGAL_ADDRESS),
        (&[2, 0, 0, 0, 1], ILLEGAL_ADDRESS),
        (&[3, 0, 3, 0, 2], ILLEGAL_ADDRESS),
        (&[3, 0xFF, 0xFF, 0, 2], ILLEGAL_ADDRESS),
        (&[4, 0, 4, 0, 1], ILLEGAL_ADDRESS),
        (&[5, 0, 8, 0xFF, 0], ILLEGAL_ADDRESS),
        (&[6, 0, 2, 0, 9], ILLEGAL_ADDRESS),
        (&[15, 0, 6, 0, 3, 1, 7], ILLEGAL_ADDRESS),
        (&[16, 0, 1, 0, 2, 4, 0, 1, 0, 2], ILLEGAL_ADDRESS),
        (&[23, 0, 0, 0, 1, 0, 2, 0, 1, 2, 0, 5], ILLEGAL_ADDRESS),
        (&[23, 0, 9, 0, 1, 0, 0, 0, 1, 2, 0, 5], ILLEGAL_ADDRESS),
        (&[1, 0, 0, 0, 0], ILLEGAL_VALUE),
        (&[1, 0, 0, 0x07, 0xD1], ILLEGAL_VALUE),
        (&[3, 0, 0, 0, 0], ILLEGAL_VALUE),
        (&[3, 0, 0, 0, 126], ILLEGAL_VALUE),
        (&[3, 0, 0], ILLEGAL_VALUE),
        (&[3, 0, 0, 0, 1, 0], ILLEGAL_VALUE),
        (&[5, 0, 1, 0, 1], ILLEGAL_VALUE),
        (&[15, 0, 0, 0, 8, 2, 1, 0], ILLEGAL_VALUE),
        (&[15, 0, 0, 0, 8], ILLEGAL_VALUE),
        (&[16, 0, 0, 0, 1, 4, 0, 1, 0, 2], ILLEGAL_VALUE),
        (&[16, 0, 0, 0, 124, 0], ILLEGAL_VALUE),
        (&[23, 0, 0, 0, 1, 0, 0], ILLEGAL_VALUE),
        (&[23, 0, 0, 0, 1, 0, 0, 0, 122, 0], ILLEGAL_VALUE),
    ] {
        check(request, &[request[0] | 0x80, code]);
    }
}

#[test]
fn a_device_gives_no_more_registers_than_its_limit() {
    let mut small = SMALL;
    let mut read = |count, most| answer(&[3, 0, 0, 0, count], &mut small, most);
    assert_eq!(read(2, 2)[..2], [3, 4]);
    assert_eq!(read(3, 2), [0x83, ILLEGAL_VALUE]);
}
