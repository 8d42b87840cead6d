// Files that come to a page by the clipboard or are dropped on it; `take` is called with a list of them.

export function takeFiles(take) {
  document.addEventListener("paste", (event) => take(Array.from(event.clipboardData.files)));
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("over");
  });
  document.addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) document.body.classList.remove("over");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("over");
    take(Array.from(event.dataTransfer.files));
  });
}
