/** The binding ships no types; what is used of it is in `rocksdb.ts`. */
declare module '@nxtedition/rocksdb' {
  export class RocksLevel {
    constructor(location: string, options: object);
  }
}
