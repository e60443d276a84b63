// The view of the list: it follows the newest rows, or keeps what is read in its
// place, and finds that again after a reload or on the way back. The list is laid
// out from its end: scrollTop is 0 at the newest, and negative above.
import { $, session } from './page.js';
import { rows } from './rows.js';

const NEAR = 100; // pixels from the end within which the view follows
const SPARE = 10; // rows that are kept in mind, for the first may be taken away

export const isNear = () => $('scroller').scrollTop > -NEAR;

// topRows returns those that show, from the first on, each with how far it is
// below the top of the box. They are in the order of the page, so the first is
// found by halving.
const topRows = scroller => {
	const all = rows();
	const top = scroller.getBoundingClientRect().top;
	let from = 0;
	let to = all.length;
	while (from < to) {
		const middle = (from + to) >> 1;
		if (all[middle].getBoundingClientRect().bottom > top) to = middle;
		else from = middle + 1;
	}
	return [...all].slice(from, from + SPARE).map(row => ({ id: row.id, top: row.getBoundingClientRect().top - top }));
};

// startView returns what rows.js asks: whether the view follows, and to settle
// once rows have come or gone.
export const startView = () => {
	const scroller = $('scroller');
	const toNewest = $('to-newest');
	const holds = !CSS.supports('overflow-anchor', 'auto'); // this browser does not do it
	let follows = true;
	let kept = { rows: [], scrollTop: 0 }; // what showed when all was in its place

	const keep = () => {
		if (holds) kept = { rows: topRows(scroller), scrollTop: scroller.scrollTop };
	};
	// What is read is moved back to where it was. Scrolling meanwhile is the reader's.
	const hold = () => {
		if (!holds) return;
		const place = kept.rows.find(row => $(row.id));
		if (place) {
			const top = $(place.id).getBoundingClientRect().top - scroller.getBoundingClientRect().top;
			const scrolled = scroller.scrollTop - kept.scrollTop;
			scroller.scrollTop += top - (place.top - scrolled);
		}
		keep();
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
		keep();
	}, { passive: true });
	toNewest.addEventListener('click', () => {
		goToNewest();
		$('body').focus();
	});
	// Pictures load, lines break anew, a keyboard opens.
	const sizes = new ResizeObserver(stay);
	sizes.observe(scroller);
	sizes.observe($('messages'));

	const back = restore(scroller);
	if (back) follows = isNear();
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

// restore goes back to the place that this tab left by a reload or a link, and
// reports whether it could.
const restore = scroller => {
	const [{ type } = {}] = performance.getEntriesByType('navigation');
	const saved = session.get(placeName());
	session.remove(placeName());
	if (type !== 'reload' && type !== 'back_forward') return false;
	const place = saved?.find?.(row => $(row.id));
	if (!place) return false;
	scroller.scrollTop += $(place.id).getBoundingClientRect().top - scroller.getBoundingClientRect().top - place.top;
	return true;
};
