// node --require clock.cjs: a process whose clock is CLOCK_OFFSET seconds off.
'use strict';

const offset = Number(process.env.CLOCK_OFFSET ?? 0) * 1000;
const RealDate = Date;

globalThis.Date = class extends RealDate {
  constructor(...parts) {
    if (parts.length === 0) super(RealDate.now() + offset);
    else super(...parts);
  }

  static now() {
    return RealDate.now() + offset;
  }
};
