// Elements with text. What agents write is hostile: it is put in as text, and never read as markup.

export function make(tag, text = "", kind = "") {
  const element = document.createElement(tag);
  element.textContent = text;
  if (kind) element.className = kind;
  return element;
}
