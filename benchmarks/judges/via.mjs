// VIA 3's own JavaScript, from a checkout of its repository (third argument): loads our project, exports its two tables,
// and makes a project of its own. It runs without its windows: what it would show or download is caught.
import fs from "node:fs";
import path from "node:path";
import vm from "node:vm";
import { randomUUID } from "node:crypto";

const [folder, , checkout] = process.argv.slice(2);
const saved = [];
const world = vm.createContext({ console, setTimeout, Date, JSON, Promise, btoa,
  URL: { createObjectURL: () => `blob:null/${randomUUID()}`, revokeObjectURL() {} },
  Blob: class { constructor(parts = []) { this.caught = parts.join(""); } } });
for (const name of ["_via_const", "_via_event", "_via_util", "_via_metadata", "_via_file", "_via_attribute", "_via_view", "_via_config", "_via_data", "_via_import_export"]) {
  const file = path.join(checkout, "via-3.x.y/src/js", `${name}.js`);
  vm.runInContext(fs.readFileSync(file, "utf8"), world, { filename: file });
}
world._caught = (blob) => saved.push(blob.caught);
vm.runInContext("_via_util_download_as_file = function(blob, name) { _caught(blob); }", world);
vm.runInContext("_via_util_msg_show = function(text) { throw new Error(text); }", world);
world._ours = fs.readFileSync(path.join(folder, "ours.json"), "utf8");
world._rows = fs.readFileSync(path.join(folder, "rows.json"), "utf8");
const read = await vm.runInContext(`(async () => {
  const data = new _via_data();
  await data.project_load(_ours);
  const found = Object.values(data.store.metadata).map(m => [m.av["1"], m.z[0], m.z[1]]);
  const output = new _via_import_export(data);
  output.export_to_via3_csv(); output.export_to_temporal_segments_csv();
  const own = new _via_data();
  own.attribute_add("action", "FILE1_Z2_XY0", _VIA_ATTRIBUTE_TYPE.TEXT, "", {}, "");
  const fid = own._file_get_new_id();
  own.store.file[fid] = new _via_file(fid, "v.mp4", _VIA_FILE_TYPE.VIDEO, _VIA_FILE_LOC.LOCAL, "");
  own.store.view["1"] = { fid_list: [fid] };
  own.store.project.vid_list.push("1");
  for (const [label, , , start, end] of JSON.parse(_rows)) await own.metadata_add("1", [start, end], [], { "1": label });
  await own.project_save();
  return JSON.stringify(found);
})()`, world).catch((e) => { console.error(e); process.exit(1); });
["theirs_via3.csv", "theirs_temporal.csv", "theirs.json"].forEach((name, k) => fs.writeFileSync(path.join(folder, name), saved[k]));
console.log(JSON.stringify({ frames: null, seconds: JSON.parse(read), wrote: ["theirs_via3.csv", "theirs_temporal.csv", "theirs.json"], notes: [] }));
