/**
 * Parquet files of records: a column for each field of a struct.
 *
 * boolean, int8 to int32, int64 and bigint, float, double, bytes and timestamp are Parquet's own types; strings, enums and decimals are
 * STRING; everything nested is JSON, as JSON lines write it. Optional fields are nullable columns.
 *
 * Memory: a file that is written is held by its columns; one that is read, by one row group.
 */
import {
  type AsyncBuffer,
  type FileMetaData,
  parquetMetadataAsync,
  parquetReadObjects,
} from 'hyparquet';
import { type BasicType, type ColumnSource, parquetWriteBuffer } from 'hyparquet-writer';
import { invalid, MillraceError } from '../../src/base/errors.ts';
import type {
  BulkFile,
  BulkFormat,
  BulkReader,
  BulkWriter,
} from '../../src/connector/bulk-format.ts';
import type { Decoded } from '../../src/connector/format.ts';
import { jsonText } from '../../src/connector/json-lines.ts';
import { checkValue } from '../../src/types/check-value.ts';
import type { Field, Schema } from '../../src/types/schema.ts';

export interface ParquetOptions {
  /** Records of one row group: what is read at once. Default 65,536. */
  readonly rowGroupSize?: number;
}

/** One field as a column, and how its values become those of the column and back. */
interface Column {
  readonly field: Field;
  readonly type: BasicType;
  readonly nullable: boolean;
  readonly toCell: (value: unknown) => unknown;
  readonly fromCell: (cell: unknown) => unknown;
  /** Bytes of one value, about. */
  readonly sizeOf: (value: unknown) => number;
}

const ROW_GROUP_SIZE = 65_536;
/** What an object, an array or a map is taken for until it is written. */
const NESTED_BYTES = 64;

const same = (value: unknown): unknown => value;
const fixed = (bytes: number) => (): number => bytes;
const lengthOf = (value: unknown): number => (value as { length: number }).length + 4; // text or bytes

const NUMBER = { toCell: same, fromCell: (cell: unknown) => numberOf(cell) };

/**
 * Files with a column for each field of `schema`, a struct. @public
 * @throws `invalid` BAD_PARQUET_SCHEMA
 */
export function parquet<T>(schema: Schema<T>, options: ParquetOptions = {}): BulkFormat<T> {
  const { rowGroupSize = ROW_GROUP_SIZE } = options;
  if (schema.kind !== 'struct')
    throw invalid('BAD_PARQUET_SCHEMA', `Parquet holds structs; the schema is ${schema.kind}`);
  if (!Number.isSafeInteger(rowGroupSize) || rowGroupSize < 1)
    throw invalid('BAD_PARQUET_SCHEMA', 'rowGroupSize is a positive whole number');
  const columns = schema.fields.map(columnOf);
  return {
    schema,
    createWriter: () => new ParquetWriter(columns, rowGroupSize),
    openFile: (file) => ParquetReader.open(file, schema, columns),
  };
}

function columnOf(field: Field): Column {
  const nullable = field.schema.kind === 'optional';
  const inner = field.schema.kind === 'optional' ? field.schema.inner : field.schema;
  return { field, nullable, ...kindOf(inner) };
}

function kindOf(schema: Schema<unknown>): Omit<Column, 'field' | 'nullable'> {
  switch (schema.kind) {
    case 'boolean':
      return { type: 'BOOLEAN', toCell: same, fromCell: same, sizeOf: fixed(1) };
    case 'int8':
    case 'int16':
    case 'int32':
      return { type: 'INT32', ...NUMBER, sizeOf: fixed(4) };
    case 'int64':
      return {
        ...NUMBER,
        type: 'INT64',
        toCell: (value) => BigInt(value as number),
        sizeOf: fixed(8),
      };
    case 'bigint':
      return { type: 'INT64', toCell: same, fromCell: bigintOf, sizeOf: fixed(8) };
    case 'float':
      return { type: 'FLOAT', ...NUMBER, sizeOf: fixed(4) };
    case 'double':
      return { type: 'DOUBLE', ...NUMBER, sizeOf: fixed(8) };
    case 'timestamp':
      return {
        type: 'TIMESTAMP',
        toCell: (value) => new Date(value as number),
        fromCell: numberOf,
        sizeOf: fixed(8),
      };
    case 'string':
    case 'enum':
    case 'decimal':
      return { type: 'STRING', toCell: same, fromCell: same, sizeOf: lengthOf };
    case 'bytes':
      return { type: 'BYTE_ARRAY', toCell: same, fromCell: same, sizeOf: lengthOf };
    default:
      return {
        type: 'JSON',
        toCell: (value) => JSON.parse(jsonText(value)) as unknown,
        fromCell: same,
        sizeOf: fixed(NESTED_BYTES),
      };
  }
}

/** Numbers come as bigint, and timestamps as Date. What is neither is left for the schema to refuse. */
function numberOf(cell: unknown): unknown {
  if (cell instanceof Date) return cell.getTime();
  return typeof cell === 'bigint' ? Number(cell) : cell;
}

const bigintOf = (cell: unknown): unknown =>
  typeof cell === 'number' && Number.isSafeInteger(cell) ? BigInt(cell) : cell;

class ParquetWriter<T> implements BulkWriter<T> {
  readonly #columns: readonly Column[];
  readonly #cells: unknown[][];
  readonly #rowGroupSize: number;
  size = 0;

  constructor(columns: readonly Column[], rowGroupSize: number) {
    this.#columns = columns;
    this.#rowGroupSize = rowGroupSize;
    this.#cells = columns.map(() => []);
  }

  add(value: T): void {
    const record = value as Readonly<Record<string, unknown>>; // of a struct schema
    for (let i = 0; i < this.#columns.length; i++) {
      const { field, toCell, sizeOf } = this.#columns[i]!;
      const given = record[field.name];
      const isThere = given !== undefined;
      this.#cells[i]!.push(isThere ? toCell(given) : null);
      if (isThere) this.size += sizeOf(given);
    }
  }

  take(): Uint8Array {
    const columnData = this.#columns.map(({ field, type, nullable }, i): ColumnSource => ({
      name: field.name,
      type,
      nullable,
      data: this.#cells[i] as ColumnSource['data'], // cells of the column's type
    }));
    return new Uint8Array(parquetWriteBuffer({ columnData, rowGroupSize: this.#rowGroupSize }));
  }
}

class ParquetReader<T> implements BulkReader<T> {
  readonly records: number;
  readonly #file: BulkFile;
  readonly #buffer: AsyncBuffer;
  readonly #metadata: FileMetaData;
  readonly #schema: Schema<T>;
  /** Of the file, by the field that each is read into. */
  readonly #columns: readonly (Column & { readonly stored: string })[];

  private constructor(
    file: BulkFile,
    buffer: AsyncBuffer,
    metadata: FileMetaData,
    schema: Schema<T>,
    columns: readonly Column[],
  ) {
    this.#file = file;
    this.#buffer = buffer;
    this.#metadata = metadata;
    this.#schema = schema;
    this.records = Number(metadata.num_rows);
    const names = new Set(metadata.schema.slice(1).map(({ name }) => name));
    this.#columns = columns.flatMap((column) => {
      const { name, aliases = [] } = column.field;
      const stored = [name, ...aliases].find((known) => names.has(known));
      return stored === undefined ? [] : [{ ...column, stored }];
    });
  }

  static async open<T>(
    file: BulkFile,
    schema: Schema<T>,
    columns: readonly Column[],
  ): Promise<ParquetReader<T>> {
    const buffer: AsyncBuffer = {
      byteLength: file.size,
      slice: async (start, end = file.size) => {
        const bytes = await file.read(start, end - start);
        return bytes.slice().buffer;
      },
    };
    const metadata = await parsed(file, () => parquetMetadataAsync(buffer));
    return new ParquetReader(file, buffer, metadata, schema, columns);
  }

  /** The rest of the row group that holds record `from`. */
  async read(from: number): Promise<readonly Decoded<T>[]> {
    let rowEnd = 0;
    for (const { num_rows: rows } of this.#metadata.row_groups) {
      rowEnd += Number(rows);
      if (rowEnd > from) break;
    }
    const rows = await parsed(this.#file, () =>
      parquetReadObjects({
        file: this.#buffer,
        metadata: this.#metadata,
        columns: this.#columns.map(({ stored }) => stored),
        rowStart: from,
        rowEnd,
        utf8: false,
      }),
    );
    return rows.map((row) => this.#decode(row));
  }

  #decode(row: Readonly<Record<string, unknown>>): Decoded<T> {
    const record: Record<string, unknown> = {};
    for (const { field, stored, fromCell } of this.#columns) {
      const cell = row[stored];
      if (cell !== null && cell !== undefined) record[field.name] = fromCell(cell);
    }
    return checkValue(this.#schema, record);
  }
}

/** What the store fails with stays what it is; anything else is the file's fault. */
async function parsed<R>({ name }: BulkFile, parse: () => Promise<R>): Promise<R> {
  try {
    return await parse();
  } catch (cause) {
    if (cause instanceof Object && 'kind' in cause) throw cause;
    throw new MillraceError(
      'data',
      'PARQUET_CORRUPT',
      `${name} is no Parquet file that can be read: ${(cause as Error).message}`, // the parser throws Errors
      { cause, details: { file: name } },
    );
  }
}
