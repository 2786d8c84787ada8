// Refuses a file that is too large before it is read or sent; the server would, but says no remedy.
const limit = Number(element.querySelector('.mw-limit').dataset.bytes);

function refuse(event) {
  const source = event.type === 'drop' ? event.dataTransfer : event.target;
  const large = [...(source.files || [])].find((file) => file.size > limit);
  if (!large) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  if (event.type === 'change') event.target.value = '';
  trigger('select', {file: large.name, bytes: large.size});
}

for (const kind of ['change', 'drop']) element.closest('[role=tabpanel]').addEventListener(kind, refuse, true);
