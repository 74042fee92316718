/** Zigzag variable-length integers as Kafka's records hold them. Numbers throughout: no value of ours leaves the safe range. */

export function varintSize(value: number): number {
  let zigzag = value >= 0 ? value * 2 : -value * 2 - 1;
  let size = 1;
  while (zigzag >= 128) {
    zigzag = Math.floor(zigzag / 128);
    size++;
  }
  return size;
}

/** Writes at `at`; the place after it. */
export function writeVarint(buffer: Buffer, at: number, value: number): number {
  let zigzag = value >= 0 ? value * 2 : -value * 2 - 1;
  while (zigzag >= 128) {
    buffer[at++] = (zigzag % 128) + 128;
    zigzag = Math.floor(zigzag / 128);
  }
  buffer[at] = zigzag;
  return at + 1;
}
