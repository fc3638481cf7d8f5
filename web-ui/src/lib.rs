//! The pages of Landside as views without IO: data in, HTML out.
