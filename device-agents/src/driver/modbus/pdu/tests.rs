//! The specification's own examples, and what is no reply.

use proptest::prelude::*;

use super::*;

/// Each as the specification prints it in section 6: request, reply, what is taken.
#[test]
fn the_specifications_examples() {
    let check = |request: Request<'_>, bytes: &[u8], reply: &[u8], taken: Reply| {
        assert_eq!(request.encode(), bytes);
        assert_eq!(request.take(reply), Some(taken), "{reply:02X?}");
    };
    let read = |table, addr, count| Request::Read { table, addr, count };
    let bits = |bytes: &[u8], count: usize| {
        let all = bytes
            .iter()
            .flat_map(|byte| (0..8).map(move |bit| byte >> bit & 1 == 1));
        Reply::Bits(all.take(count).collect())
    };
    // 6.1: outputs 20 to 38.
    check(
        read(Table::Coil, 0x13, 0x13),
        &[1, 0, 0x13, 0, 0x13],
        &[1, 3, 0xCD, 0x6B, 0x05],
        bits(&[0xCD, 0x6B, 0x05], 0x13),
    );
    // 6.2: inputs 197 to 218.
    check(
        read(Table::DiscreteInput, 0xC4, 0x16),
        &[2, 0, 0xC4, 0, 0x16],
        &[2, 3, 0xAC, 0xDB, 0x35],
        bits(&[0xAC, 0xDB, 0x35], 0x16),
    );
    // 6.3: registers 108 to 110.
    check(
        read(Table::HoldingRegister, 0x6B, 3),
        &[3, 0, 0x6B, 0, 3],
        &[3, 6, 0x02, 0x2B, 0, 0, 0, 0x64],
        Reply::Words(vec![0x22B, 0, 0x64]),
    );
    // 6.4: input register 9.
    check(
        read(Table::InputRegister, 8, 1),
        &[4, 0, 8, 0, 1],
        &[4, 2, 0, 0x0A],
        Reply::Words(vec![0x0A]),
    );
    // 6.5: output 173 on.
    let coil = RegisterWrite::Coil {
        addr: 0xAC,
        on: true,
    };
    let bytes = [5, 0, 0xAC, 0xFF, 0];
    check(Request::Write(&coil), &bytes, &bytes, Reply::Echo);
    // 6.6: register 2 to 3.
    let register = RegisterWrite::Register { addr: 1, word: 3 };
    let bytes = [6, 0, 1, 0, 3];
    check(Request::Write(&register), &bytes, &bytes, Reply::Echo);
    // 6.11: ten coils from 20 on.
    let packed: [u16; 2] = [0xCD, 0x01];
    let on = (0..10)
        .map(|bit| packed[bit / 8] >> (bit % 8) & 1 == 1)
        .collect();
    let coils = RegisterWrite::Coils { addr: 0x13, on };
    check(
        Request::Write(&coils),
        &[0x0F, 0, 0x13, 0, 0x0A, 2, 0xCD, 0x01],
        &[0x0F, 0, 0x13, 0, 0x0A],
        Reply::Echo,
    );
    // 6.12: two registers from 2 on.
    let registers = RegisterWrite::Registers {
        addr: 1,
        words: vec![0x000A, 0x0102],
    };
    check(
        Request::Write(&registers),
        &[0x10, 0, 1, 0, 2, 4, 0, 0x0A, 0x01, 0x02],
        &[0x10, 0, 1, 0, 2],
        Reply::Echo,
    );
    // 6.17: six registers from 4 on are read, three from 15 on are written.
    let exchange = RegisterWrite::Exchange {
        read: 3,
        count: 6,
        addr: 0x0E,
        words: vec![0xFF; 3],
    };
    check(
        Request::Write(&exchange),
        &[
            0x17, 0, 3, 0, 6, 0, 0x0E, 0, 3, 6, 0, 0xFF, 0, 0xFF, 0, 0xFF,
        ],
        &[
            0x17, 0x0C, 0, 0xFE, 0x0A, 0xCD, 0, 1, 0, 3, 0, 0x0D, 0, 0xFF,
        ],
        Reply::Echo,
    );
    // 7: an illegal address.
    let request = read(Table::Coil, 0x4A1, 1);
    assert_eq!(request.take(&[0x81, 2]), Some(Reply::Exception(2)));
}

#[test]
fn what_is_no_reply_is_not_taken() {
    let read = Request::Read {
        table: Table::HoldingRegister,
        addr: 100,
        count: 2,
    };
    let coil = RegisterWrite::Coil { addr: 2, on: true };
    let write = Request::Write(&coil);
    let foreign: [(&Request<'_>, &[u8]); 11] = [
        (&read, &[]),
        (&read, &[3]),
        (&read, &[3, 2, 0, 7]),
        (&read, &[3, 6, 0, 1, 0, 2, 0, 3]),
        (&read, &[3, 2, 0, 1, 0, 2]),
        (&read, &[4, 4, 0, 1, 0, 2]),
        (&read, &[0x84, 2]),
        (&read, &[0x83, 2, 0]),
        (&write, &[5, 0, 3, 0xFF, 0]),
        (&write, &[5, 0, 2, 0, 0]),
        (&write, &[6, 0, 2, 0xFF, 0]),
    ];
    for (request, pdu) in foreign {
        assert_eq!(request.take(pdu), None, "{request}: {pdu:02X?}");
    }
}

proptest! {
    /// Whatever comes, it is taken only whole, and only where its head is that of a reply.
    #[test]
    fn only_a_reply_is_taken(pdu in proptest::collection::vec(any::<u8>(), 0..40), count in 1u16..16) {
        let request = Request::Read { table: Table::HoldingRegister, addr: 0, count };
        match request.take(&pdu) {
            Some(Reply::Words(words)) => {
                prop_assert_eq!(words.len(), usize::from(count));
                prop_assert_eq!(pdu.len(), request.reply_bytes());
            }
            Some(Reply::Exception(code)) => prop_assert_eq!(pdu, vec![0x83, code]),
            Some(other) => prop_assert!(false, "{:?}", other),
            None => {}
        }
    }
}
