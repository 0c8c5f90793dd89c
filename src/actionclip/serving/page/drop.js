/* Files that are dropped, anywhere on the page. */

/** `take(file, count)` is called with the first of so many files. */
export function listenForDrops(take) {
  const over = document.body.classList;
  addEventListener("dragover", (event) => {
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    over.add("over");
  });
  addEventListener("dragleave", (event) => event.relatedTarget ?? over.remove("over"));
  addEventListener("drop", (event) => {
    over.remove("over");
    const { files } = event.dataTransfer;
    if (!files.length) return;
    event.preventDefault();
    take(files[0], files.length);
  });
}
