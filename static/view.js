// The view of the list: it follows the newest rows, or keeps what is read in its
// place, and finds that again after a reload or on the way back. The list is laid
// out from its end: scrollTop is 0 at the newest, and negative above.
import { $, session } from './page.js';
import { rows } from './rows.js';

const NEAR = 100; // pixels from the end within which the view follows
const PAGES = 10; // of earlier rows that are read to come back to a place
const SPARE = 10; // rows that are kept in mind, for the first may be taken away

export const isNear = () => $('scroller').scrollTop > -NEAR;

// topOf returns how far a row is below the top of the box.
const topOf = (row, scroller) => row.getBoundingClientRect().top - scroller.getBoundingClientRect().top;

// topRows returns those that show, from the first on, each with how far it is
// below the top of the box. They are in the order of the page, so the first is
// found by halving.
const topRows = scroller => {
	const all = rows();
	let from = 0;
	let to = all.length;
	while (from < to) {
		const middle = (from + to) >> 1;
		if (topOf(all[middle], scroller) + all[middle].offsetHeight > 0) to = middle;
		else from = middle + 1;
	}
	return [...all].slice(from, from + SPARE).map(row => ({ id: row.id, top: topOf(row, scroller) }));
};

// startView returns what rows.js asks: whether the view follows, and to settle
// once rows have come or gone.
export const startView = () => {
	const scroller = $('scroller');
	const toNewest = $('to-newest');
	const holds = !CSS.supports('overflow-anchor', 'auto'); // this browser does not do it
	let follows = true;
	let kept = { rows: [], scrollTop: 0 }; // what showed when all was in its place

	const keep = (error = 0) => {
		if (!holds) return;
		kept = { rows: topRows(scroller), scrollTop: scroller.scrollTop };
		for (const row of kept.rows) row.top -= error;
	};
	// What is read is moved back to where it was. Scrolling meanwhile is the reader's.
	// Browsers scroll by whole pixels: what is left is made good the next time, and
	// does not add up.
	const hold = () => {
		if (!holds) return;
		const place = kept.rows.find(row => $(row.id));
		if (!place) return keep();
		const wanted = place.top - (scroller.scrollTop - kept.scrollTop);
		const error = () => topOf($(place.id), scroller) - wanted;
		scroller.scrollTop += error();
		keep(error());
	};
	const stay = () => {
		if (follows) scroller.scrollTop = 0;
		else hold();
	};
	const goToNewest = () => {
		scroller.scrollTop = 0;
		follows = true;
		toNewest.hidden = true;
	};

	scroller.addEventListener('scroll', () => {
		follows = isNear();
		if (follows) toNewest.hidden = true;
		if (scroller.scrollTop !== kept.scrollTop) keep(); // else it was hold
	}, { passive: true });
	toNewest.addEventListener('click', () => {
		goToNewest();
		$('body').focus();
	});
	// Pictures load, lines break anew, a keyboard opens.
	const sizes = new ResizeObserver(stay);
	sizes.observe(scroller);
	sizes.observe($('messages'));

	if (back(scroller)) follows = isNear();
	keep();
	addEventListener('pagehide', () => save(scroller, follows));

	return {
		follows: () => follows,
		goToNewest,
		settle: isNews => {
			if (!follows && isNews) toNewest.hidden = false;
			stay();
		},
	};
};

// The place of this tab in the list that has an address.
const placeName = () => 'hubbub:place:' + location.pathname + location.search;

const save = (scroller, follows) => {
	if (follows) session.remove(placeName());
	else session.set(placeName(), topRows(scroller));
};

// back goes to the place that this tab left by a reload or a link, and reports
// whether it could. Where that is further back than the page, it reads the rows
// before it first, as the link to them does.
const back = scroller => {
	const [{ type } = {}] = performance.getEntriesByType('navigation');
	const saved = session.get(placeName());
	session.remove(placeName());
	if (!Array.isArray(saved) || type !== 'reload' && type !== 'back_forward') return false;
	const restore = () => {
		const place = saved.find(row => $(row.id));
		if (place) scroller.scrollTop += topOf($(place.id), scroller) - place.top;
		return !!place;
	};
	if (restore()) return true;
	let pages = PAGES;
	const readOn = () => {
		const link = document.querySelector('#earlier a');
		if (restore() || !pages-- || !link || link.hidden) document.removeEventListener('htmx:after:swap', readOn);
		else link.click();
	};
	document.addEventListener('htmx:after:swap', readOn);
	setTimeout(readOn); // htmx has taken the link over by then
	return false;
};
