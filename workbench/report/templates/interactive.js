'use strict';
(() => {
  const data = JSON.parse(document.getElementById('report-data').textContent);
  const make = (tag, text, name) => {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    if (name) element.className = name;
    return element;
  };
  const dark = matchMedia('(prefers-color-scheme: dark)');

  function paintFigures() {
    const ink = data.colours[dark.matches ? 'dark' : 'light'].ink;
    for (const plot of document.querySelectorAll('.js-plotly-plot')) Plotly.relayout(plot, {'font.color': ink});
  }

  function graph(svg) {
    const nodes = new Map();
    for (const link of svg.querySelectorAll('a[href^="#node-"]')) nodes.set(Number(link.getAttribute('href').slice(6)), link);
    const paths = [...svg.querySelectorAll('.edge')];
    if (paths.length !== data.edges.length) return;
    const panel = make('div', undefined, 'panel');
    panel.setAttribute('role', 'status');
    const tools = make('div', undefined, 'tools');
    const label = make('label', 'edges of at least ');
    const slider = make('input');
    Object.assign(slider, {type: 'range', min: 0, max: 50, value: 0});
    const shown = make('output', '0 % of the target’s input');
    label.append(slider, ' ', shown);
    tools.append(label);
    const hidden = new Set();
    for (const kind of new Set(Object.values(data.kinds))) {
      const box = make('input');
      Object.assign(box, {type: 'checkbox', checked: true});
      box.addEventListener('change', () => { box.checked ? hidden.delete(kind) : hidden.add(kind); paint(); });
      const text = make('label');
      text.append(box, ' ' + kind);
      tools.append(text);
    }
    let chosen = null;

    function paint() {
      const least = Number(slider.value) / 100;
      shown.textContent = slider.value + ' % of the target’s input';
      const near = new Set([chosen]);
      data.edges.forEach(([source, target, weight, share], number) => {
        const gone = share < least || hidden.has(data.kinds[source]) || hidden.has(data.kinds[target]);
        const mine = chosen === null || source === chosen || target === chosen;
        paths[number].classList.toggle('gone', gone);
        paths[number].classList.toggle('faded', !mine);
        paths[number].classList.toggle('lit', chosen !== null && mine);
        if (mine && !gone) near.add(source).add(target);
      });
      for (const [rank, link] of nodes) {
        link.classList.toggle('gone', hidden.has(data.kinds[rank]));
        link.classList.toggle('faded', chosen !== null && !near.has(rank));
        link.setAttribute('aria-pressed', rank === chosen);
      }
      tell();
    }

    function list(title, rows) {
      const box = make('div');
      box.append(make('h4', title));
      const items = make('ol');
      for (const [other, weight, share] of rows.slice(0, 8)) {
        const item = make('li');
        const button = make('button', other + '. ' + (data.labels[other] || ''));
        button.type = 'button';
        button.addEventListener('click', () => choose(other));
        const part = share < 0.001 ? share.toExponential(1) : (100 * share).toFixed(1) + ' %';
        item.append(button, ' ' + (weight < 0 ? '−' : '+') + Math.abs(weight).toPrecision(3) + ' (' + part + ')');
        items.append(item);
      }
      if (!rows.length) items.append(make('li', 'none drawn'));
      box.append(items);
      return box;
    }

    function tell() {
      panel.replaceChildren();
      if (chosen === null) {
        panel.append(make('p', 'Choose a node for its strongest inputs and outputs; Escape lets go.', 'quiet'));
        return;
      }
      const head = make('p');
      head.append(make('b', chosen + '. ' + (data.labels[chosen] || '')), ' ');
      const more = make('a', 'all about it');
      more.href = '#node-' + chosen;
      more.addEventListener('click', () => { document.getElementById('node-' + chosen).open = true; });
      head.append(more);
      const order = rows => rows.sort((a, b) => b[2] - a[2]);
      const inputs = data.edges.filter(edge => edge[1] === chosen).map(edge => [edge[0], edge[2], edge[3]]);
      const outputs = data.edges.filter(edge => edge[0] === chosen).map(edge => [edge[1], edge[2], edge[3]]);
      const lists = make('div', undefined, 'lists');
      lists.append(list('from', order(inputs)), list('to', order(outputs)));
      panel.append(head, lists);
    }

    function choose(rank) {
      chosen = chosen === rank ? null : rank;
      paint();
    }

    for (const [rank, link] of nodes) {
      link.addEventListener('click', event => { event.preventDefault(); choose(rank); });
    }
    slider.addEventListener('input', paint);
    document.addEventListener('keydown', event => { if (event.key === 'Escape' && chosen !== null) choose(chosen); });
    svg.closest('figure').before(tools);
    svg.closest('figure').after(panel);
    paint();
  }

  function sortable(table) {
    const body = table.tBodies[0];
    if (!body || body.rows.length < 3) return;
    const value = row => column => {
      const text = row.cells[column] ? row.cells[column].textContent.trim() : '';
      const number = Number.parseFloat(text.replaceAll('−', '-').replaceAll(/[\s\u202f+]/g, ''));
      return Number.isNaN(number) ? text.toLowerCase() : number;
    };
    [...table.tHead.rows[0].cells].forEach((cell, column) => {
      if (!cell.textContent.trim()) return;
      const button = make('button', cell.textContent, 'sort');
      button.type = 'button';
      cell.replaceChildren(button);
      button.addEventListener('click', () => {
        const down = cell.getAttribute('aria-sort') !== 'descending';
        for (const other of cell.parentElement.cells) other.removeAttribute('aria-sort');
        cell.setAttribute('aria-sort', down ? 'descending' : 'ascending');
        const rows = [...body.rows].map(row => [value(row)(column), row]);
        rows.sort(([a], [b]) => {
          if (typeof a !== typeof b) return typeof a === 'number' ? -1 : 1;
          return (a < b ? -1 : a > b ? 1 : 0) * (down ? -1 : 1);
        });
        body.append(...rows.map(([, row]) => row));
      });
    });
  }

  function search(section) {
    const rows = [...section.querySelectorAll('details.node')];
    if (rows.length < 2) return;
    const box = make('label', 'find a node ', 'tools');
    const field = make('input');
    Object.assign(field, {type: 'search', placeholder: 'label, token, text …'});
    box.append(field);
    field.addEventListener('input', () => {
      const wanted = field.value.toLowerCase();
      for (const row of rows) row.hidden = !row.textContent.toLowerCase().includes(wanted);
    });
    rows[0].before(box);
  }

  const drawn = document.querySelector('.wb-graph');
  if (drawn) graph(drawn);
  document.querySelectorAll('main table').forEach(sortable);
  const listed = document.getElementById('nodes');
  if (listed) search(listed);
  if (window.Plotly) {
    paintFigures();
    dark.addEventListener('change', paintFigures);
  }
})();
