/** Files of records in folders and object stores: `millrace/files`. */
export { csv, type CsvOptions } from './csv.ts';
export { fileSink, type FileSinkOptions } from './file-sink.ts';
export { fileSource, type FileSourceOptions } from './file-source.ts';
export { parquet, type ParquetOptions } from './parquet.ts';
export { jsonLines } from '../../src/connector/json-lines.ts';
export { textLines } from './text-lines.ts';
