// The rows of the list: where days begin, which rows go on with one author's run,
// and what of an answer or a frame is put in.
import { $ } from './page.js';
import { dayLine, dayOf, localize } from './times.js';

export const rows = () => $('messages').querySelectorAll(':scope > li[id]');
const number = row => +row.id.slice(2);

// arrangement returns for each row, given as { author, at, isNew } in their order,
// whether a day begins with it and whether it goes on with the run of the row
// above, within which no pause is as long as that. A time may be none.
export const arrangement = (rows, longest) => {
	let before;
	let today = '';
	return rows.map(row => {
		const day = dayOf(row.at);
		const newDay = day !== '' && day !== today;
		if (newDay) today = day;
		const gap = row.at - before?.at;
		const same = !newDay && !row.isNew && before?.author === row.author && gap >= 0 && gap < longest;
		before = row;
		return { newDay, same };
	});
};

// arrange sets the lines of days and of what is new, the runs and the times.
export const arrange = () => {
	const list = $('messages');
	const first = firstNew();
	const facts = new Map([...rows()].map(row => {
		const time = row.querySelector('.when > time, li > time');
		const at = new Date(time?.dateTime ?? NaN);
		if (dayOf(at)) localize(time, at);
		return [row, { author: row.dataset.author, at, isNew: row === first }];
	}));
	const places = arrangement([...facts.values()], list.dataset.run * 1000);
	let line = null; // the day line above, if it is still to be used
	for (const item of [...list.children]) {
		if (!facts.has(item)) {
			if (!item.matches('.day')) continue;
			line?.remove();
			line = item;
			continue;
		}
		const { newDay, same } = places.shift();
		if (newDay) {
			const { at } = facts.get(item);
			// One that is right stays: a new one would be read out again.
			if (line?.dataset.day === dayOf(at)) line = null;
			else item.before(dayLine(at));
		}
		line?.remove();
		line = null;
		item.classList.toggle('same', same);
		if (!item.classList.length) item.removeAttribute('class');
	}
	line?.remove();
	placeNew(first);
};

// The line before the first message that is new to the viewer.
const firstNew = () => {
	const read = +$('messages').dataset.read;
	const { user } = $('composer').dataset;
	return read >= 0 ? [...rows()].find(row => number(row) > read && row.dataset.author !== user) : undefined;
};
const placeNew = first => {
	const list = $('messages');
	const have = list.querySelector('.new');
	if (!first) have?.remove();
	else if (first.previousElementSibling !== have || !have) first.before(have || newLine(list.dataset.new));
};
const newLine = words => {
	const line = document.createElement('li');
	const word = document.createElement('span');
	line.className = 'new';
	word.textContent = words;
	line.append(word);
	return line;
};

let older = false; // rows were taken away that the link to earlier ones has to lead to

// A list that follows the newest keeps as many rows as a fresh page has.
const trim = () => {
	const all = [...rows()];
	const extra = all.length - $('messages').dataset.rows;
	if (!(extra > 0)) return;
	for (const row of all.slice(0, extra)) row.remove();
	older = true;
};

// The link to earlier rows goes on from the first one, whichever that is now.
const offerEarlier = () => {
	const link = document.querySelector('#earlier a');
	const first = rows()[0];
	if (!link || !first) return;
	if (older) link.hidden = false;
	older = false;
	link.search = '?before=' + number(first);
	link.setAttribute('hx-get', link.getAttribute('href'));
};

const gone = new Set(); // ids of deleted rows, for an answer that comes late

// A row that comes both by post and by push is taken once, and never an older
// state of it over a newer one: a screen reader would read it again.
const sift = event => {
	const list = $('messages');
	const { tasks } = event.detail;
	const isAll = task => task.target === list && task.swapSpec.style === 'innerHTML';
	for (const task of tasks) {
		if (task.swapSpec.style === 'delete' && task.target?.id) gone.add(task.target.id);
		if (isAll(task)) {
			gone.clear();
			older = task.fragment.children.length >= list.dataset.rows;
		}
	}
	for (const task of tasks) {
		const added = [...task.fragment?.querySelectorAll('li[data-revision]') ?? []];
		for (const row of added) {
			const have = task.swapSpec.style === 'upsert' && $(row.id);
			if (gone.has(row.id) || have && +have.dataset.revision >= +row.dataset.revision) row.remove();
		}
		// Only what comes at the end is news to be read out: not all rows at once,
		// and not those that a delete has uncovered.
		const last = [...rows()].at(-1);
		if (isAll(task) || last && added.some(row => number(row) < number(last))) hush();
	}
};
const hush = () => {
	const scroller = $('scroller');
	scroller.setAttribute('aria-live', 'off');
	setTimeout(() => scroller.removeAttribute('aria-live'), 1000);
};

// startRows keeps a list that is arranged in order, whatever comes and goes. The view follows the
// newest rows or stays where it is, as it says itself.
export const startRows = view => {
	const list = $('messages');
	const scroller = $('scroller');
	const settle = changes => {
		const added = changes.flatMap(change => [...change.addedNodes]);
		const isNews = added.includes([...rows()].at(-1));
		observer.disconnect();
		if (isNews && view.follows()) trim();
		arrange();
		offerEarlier();
		observe();
		view.settle(isNews);
	};
	const observer = new MutationObserver(settle);
	const observe = () => observer.observe(list, { childList: true });
	observe();
	list.addEventListener('hubbub:arrange', () => settle([]));
	document.addEventListener('htmx:before:swap', sift);

	// Earlier rows are read when somebody goes to them, not when they come.
	document.addEventListener('htmx:before:swap', event => {
		const link = event.detail.ctx.sourceElement;
		if (!link?.closest('#earlier')) return;
		if (document.activeElement === link) scroller.focus({ preventScroll: true }); // the link goes
		hush();
	});

	// Deleting a row must not throw the keyboard back to the top of the page.
	list.addEventListener('click', event => {
		if (event.target.closest('.delete')) scroller.focus({ preventScroll: true });
	});
	// Done is done, also where no live connection says so.
	$('delete').addEventListener('htmx:after:request', event => {
		const { verdict, request } = event.detail.ctx;
		const row = verdict === 'done' && $('m-' + request.action.match(/(\d+)\/delete$/)?.[1]);
		if (!row) return;
		gone.add(row.id);
		row.remove();
	});
};
