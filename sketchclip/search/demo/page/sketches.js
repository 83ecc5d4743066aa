// Sketches from elsewhere: the file picker, a drop, the clipboard.

import { ask } from "./live.js";

// The server reads the file, whatever its kind, and answers with a small PNG.
export async function readSketch(file, most) {
  if (file.size > most) {
    throw new Error(`${file.name} is too large: at most ${Math.floor(most / 2 ** 20)} MB.`);
  }
  const response = await ask("api/sketch", { method: "POST", body: file });
  const blob = await response.blob();
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(new Error("The sketch could not be read."));
    reader.readAsDataURL(blob);
  });
}

export function takeSketches(input, drop, take) {
  input.addEventListener("change", () => {
    if (input.files[0]) take(input.files[0]);
    input.value = ""; // so that the same file can be opened again
  });
  document.addEventListener("paste", (event) => {
    const file = event.clipboardData.files[0];
    if (!file) return;
    event.preventDefault();
    take(file);
  });
  let depth = 0; // dragging across children of the page leaves and enters again and again
  const show = (change) => {
    depth = Math.max(0, change ? depth + change : 0);
    drop.classList.toggle("shown", depth > 0);
  };
  const holdsFile = (event) => [...event.dataTransfer.types].includes("Files");
  document.addEventListener("dragenter", (event) => holdsFile(event) && show(1));
  document.addEventListener("dragleave", (event) => holdsFile(event) && show(-1));
  document.addEventListener("dragover", (event) => holdsFile(event) && event.preventDefault());
  document.addEventListener("drop", (event) => {
    show(0);
    const file = event.dataTransfer.files[0];
    if (!file) return;
    event.preventDefault();
    take(file);
  });
}
