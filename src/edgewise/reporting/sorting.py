"""The script by which a table sorts where its head is clicked; without it the page reads the same.

Cells are ordered by ``data-value``, as numbers where both are; cells without one stay last.
"""

SCRIPT = """
document.querySelectorAll('table.sortable').forEach(table => {
  const heads = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
  const body = table.tBodies[0];
  const original = [...body.rows];
  const known = (row, column) => row.cells[column].dataset.value;
  const order = (a, b) => {
    const x = Number(a), y = Number(b);
    return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b) : x - y;
  };
  heads.forEach((head, column) => head.querySelector('button').addEventListener('click', () => {
    const before = head.getAttribute('aria-sort');
    const first = column === 0 ? 'ascending' : 'descending';
    const second = column === 0 ? 'descending' : 'ascending';
    const now = before === null ? first : before === first ? second : null;
    heads.forEach(each => each.removeAttribute('aria-sort'));
    if (now !== null) head.setAttribute('aria-sort', now);
    const sign = now === 'descending' ? -1 : 1;
    const sorted = now === null ? original : [...original].sort((a, b) => {
      const x = known(a, column), y = known(b, column);
      if (x === undefined || y === undefined) return (x === undefined) - (y === undefined);
      return sign * order(x, y);
    });
    body.append(...sorted);
  }));
});
"""
