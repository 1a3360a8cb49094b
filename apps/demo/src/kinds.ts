// Types of files in words, and the endings that promise them.

/** Label of magika: in words, and the endings of names that go with it. Others are shown as they are. */
const KINDS: Record<string, [string, string?]> = {
  asm: ["Assembly"], batch: ["Windows batch", "bat cmd"], bmp: ["BMP image", "bmp"], bzip: ["bzip2 archive", "bz2"], c: ["C", "c h"], cpp: ["C++", "cpp cc cxx hpp h"],
  cs: ["C#", "cs"], css: ["CSS", "css"], csv: ["CSV table", "csv"], deb: ["Debian pack", "deb"], diff: ["Patch", "diff patch"],
  doc: ["Word document", "doc"], dockerfile: ["Dockerfile"], docx: ["Word document", "docx"], elf: ["Linux app", "so o"],
  eml: ["E-mail", "eml"], epub: ["Book", "epub"], flac: ["FLAC audio", "flac"], gif: ["GIF image", "gif"], go: ["Go", "go"],
  gzip: ["gzip archive", "gz tgz"], html: ["HTML page", "html htm"], ico: ["Icon", "ico"], ini: ["Settings", "ini cfg conf"], ipynb: ["Notebook", "ipynb"],
  iso: ["Disc image", "iso"], jar: ["Java archive", "jar"], java: ["Java", "java"], javascript: ["JavaScript", "js mjs cjs"], jpeg: ["JPEG image", "jpg jpeg"],
  json: ["JSON", "json"], jsonl: ["JSON lines", "jsonl"], kotlin: ["Kotlin", "kt kts"], latex: ["LaTeX", "tex"], lua: ["Lua", "lua"],
  macho: ["macOS app"], makefile: ["Makefile"], markdown: ["Markdown", "md"], midi: ["MIDI music", "mid midi"], mkv: ["MKV video", "mkv"],
  mp3: ["MP3 audio", "mp3"], mp4: ["MP4 video", "mp4 m4v"], npy: ["NumPy array", "npy"], npz: ["NumPy arrays", "npz"], odt: ["Text document", "odt"],
  ogg: ["Ogg media", "ogg oga ogv"], onnx: ["ONNX model", "onnx"], otf: ["Font", "otf"], parquet: ["Parquet table", "parquet"],
  pdf: ["PDF", "pdf"], pebin: ["Windows app", "exe dll"], pem: ["Certificate", "pem crt key"], perl: ["Perl", "pl pm"],
  php: ["PHP", "php"], png: ["PNG image", "png"], powershell: ["PowerShell", "ps1"], pptx: ["Slides", "pptx"], python: ["Python", "py"],
  randombytes: ["Unknown data"], randomtxt: ["Unknown text"], rpm: ["RPM package", "rpm"], rtf: ["Rich text", "rtf"], ruby: ["Ruby", "rb"],
  rust: ["Rust", "rs"], scala: ["Scala", "scala"], sevenzip: ["7-Zip archive", "7z"], shell: ["Shell script", "sh bash"], sql: ["SQL", "sql"],
  sqlite: ["SQLite", "db sqlite sqlite3"], svg: ["SVG image", "svg"], swift: ["Swift", "swift"], tar: ["tar archive", "tar"],
  tiff: ["TIFF image", "tif tiff"], toml: ["TOML", "toml"], tsv: ["TSV table", "tsv"], ttf: ["Font", "ttf"], txt: ["Plain text", "txt text log"],
  typescript: ["TypeScript", "ts tsx"], vue: ["Vue", "vue"], wasm: ["WebAssembly", "wasm"], wav: ["WAV audio", "wav"], webm: ["WebM video", "webm"],
  webp: ["WebP image", "webp"], woff: ["Web font", "woff"], woff2: ["Web font", "woff2"], xlsx: ["Spreadsheet", "xlsx"], xml: ["XML", "xml"],
  xz: ["xz archive", "xz"], yaml: ["YAML", "yaml yml"], zig: ["Zig", "zig"], zip: ["ZIP archive", "zip"],
};

/** The label in words. */
export const inWords = (label: string): string => KINDS[label]?.[0] ?? label;

/** The ending of a name, without its dot; what only begins with a dot has none. */
export const ending = (name: string): string => /[^.]\.([^.\s]{1,8})$/.exec(name)?.[1]?.toLowerCase() ?? "";

/** Endings that name a family rather than a type: what else is in such files is no surprise. */
const LOOSE = new Set(["txt", "text", "log", "conf", "cfg", "h", "key", "db", "o", "so"]);

const promises = (label: string, end: string) => KINDS[label]?.[1]?.split(" ").includes(end) ?? false;

/** Whether the name of a file promises something else than what it was found to be. */
export function isMisnamed(name: string, label: string): boolean {
  const end = ending(name);
  if (end === "" || LOOSE.has(end) || promises(label, end)) return false;
  return Object.keys(KINDS).some((other) => promises(other, end));
}
