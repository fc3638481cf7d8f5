//! Groups points into as few reads as the device allows. Pure.
//!
//! Never across tables or poll classes; a value of two registers is never split; a hole is read in vain when it is not
//! larger than `max_gap` and the read not larger than the device's limit.

use contract::reading::PollClass;

use super::{Block, Point, Read, Source, Table};

/// The limits of a Modbus device.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) max_regs: u16,
    pub(crate) max_bits: u16,
    pub(crate) max_gap: u16,
}

impl Limits {
    fn max_count(&self, table: Table) -> u16 {
        if table.is_bits() {
            self.max_bits
        } else {
            self.max_regs
        }
    }
}

/// The reads that fetch `points`.
pub(crate) fn group(points: &[Point], limits: Limits) -> Vec<Block> {
    let mut order: Vec<usize> = (0..points.len()).collect();
    order.sort_by_key(|&index| {
        let point = &points[index];
        match &point.source {
            Source::Modbus { table, addr, .. } => (point.class, Some(*table), usize::from(*addr)),
            Source::Escpos { query } => (point.class, None, usize::from(*query)),
            Source::Frame { request, .. } => (point.class, None, *request),
        }
    });
    let mut blocks: Vec<Block> = Vec::new();
    for index in order {
        let point = &points[index];
        let merged = blocks
            .last()
            .and_then(|block| merge(block.class, block.read, point, limits));
        match (merged, blocks.last_mut()) {
            (Some(read), Some(block)) => {
                block.read = read;
                block.points.push(index);
            }
            _ => blocks.push(Block {
                class: point.class,
                read: read_of(&point.source),
                points: vec![index],
            }),
        }
    }
    blocks
}

fn read_of(source: &Source) -> Read {
    match source {
        Source::Modbus {
            table, addr, kind, ..
        } => Read::Modbus {
            table: *table,
            addr: *addr,
            count: kind.width(),
        },
        Source::Escpos { query } => Read::Escpos { query: *query },
        Source::Frame { request, .. } => Read::Frame { request: *request },
    }
}

/// `read`, widened so that it fetches `point` as well; `None` when it may not be.
fn merge(class: PollClass, read: Read, point: &Point, limits: Limits) -> Option<Read> {
    if class != point.class {
        return None;
    }
    match (read, read_of(&point.source)) {
        (
            Read::Modbus { table, addr, count },
            Read::Modbus {
                table: other_table,
                addr: other_addr,
                count: width,
            },
        ) if table == other_table => {
            let end = u32::from(addr) + u32::from(count);
            let wanted_end = u32::from(other_addr) + u32::from(width);
            let hole = u32::from(other_addr).saturating_sub(end);
            let new_count = u16::try_from(wanted_end.max(end) - u32::from(addr)).ok()?;
            (hole <= u32::from(limits.max_gap) && new_count <= limits.max_count(table)).then_some(
                Read::Modbus {
                    table,
                    addr,
                    count: new_count,
                },
            )
        }
        (read, other) if read == other => Some(read),
        _ => None,
    }
}
