// What is read and what is not: counts in lists of channels and in the title,
// the line before the first new message, how far somebody has read, and typing.
(() => {
	'use strict';

	const $ = id => document.getElementById(id);
	if (!$('news')) return;

	// The counts. What the server tells is everything that waits.
	const title = document.title.replace(/^\(\d+\+?\) /, '');
	const fill = (place, text) => {
		if (!place || (place.querySelector('b')?.textContent || '') === text) return;
		place.replaceChildren();
		if (!text) return;
		const count = document.createElement('b');
		const word = document.createElement('span');
		count.textContent = text;
		word.className = 'unseen';
		word.textContent = $('waiting').dataset.word;
		place.append(count, word);
	};
	const total = texts => {
		const sum = texts.reduce((n, text) => n + parseInt(text, 10), 0);
		return texts.some(text => text.endsWith('+')) || sum > 99 ? '99+' : sum ? String(sum) : '';
	};
	const count = () => {
		const waiting = new Map([...$('news').children].map(c => [c.value, c.textContent]));
		for (const item of $('channels').children) fill(item.querySelector('.count'), waiting.get(item.id.slice(2)) || '');
		const all = total([...waiting.values()]);
		fill($('waiting'), all);
		document.title = all ? `(${all}) ${title}` : title;
	};
	// The element is replaced with each piece of news; a list may grow.
	const watch = new MutationObserver(count);
	watch.observe($('news').parentElement, { childList: true });
	watch.observe($('channels'), { childList: true });

	const list = $('messages');
	if (!list || !$('live')) return;
	const scroller = $('scroller');
	const body = $('body');
	const address = $('live').dataset.path.replace(/live$/, '');
	const tell = (what, fields) => fetch(address + what, {
		method: 'POST', headers: { 'HX-Request': 'true' }, body: new URLSearchParams(fields), keepalive: true,
	}).then(answer => answer.ok, () => false); // away: the next word says it all again
	// Words on reading must not overtake each other.
	let before = Promise.resolve();
	const tellInTurn = (what, fields) => (before = before.then(() => tell(what, fields)));

	// How far it is read: told soon after something has come, but not with each
	// message, and at once when somebody comes or goes.
	const SOON = 1000; // ms
	const OFTEN = 10000; // ms between two words while it is read on
	const NEAR = 100; // pixels from the end: the newest are in view
	let held = false; // marked as unread: nothing is read till it is left
	let told = +$('live').dataset.after;
	let toldAt = 0;
	let timer;
	const isReading = () => !held && !document.hidden && scroller.scrollTop > -NEAR;
	let reading = isReading();
	const note = () => { $('live').dataset.reading = reading ? '1' : '0'; };
	const report = () => {
		clearTimeout(timer);
		timer = undefined;
		const fields = { tab: $('live').dataset.tab, reading: reading ? '1' : '0' };
		if (!held) {
			told = +$('live').dataset.after;
			fields.upto = told;
		}
		toldAt = Date.now();
		return leaving ? tell('read', fields) : tellInTurn('read', fields);
	};
	const look = () => {
		if (reading === isReading()) return;
		if (reading) {
			// What comes from now on is new when somebody looks again.
			if (!held) list.dataset.read = $('live').dataset.after;
			reading = false;
			report();
		} else {
			reading = true;
			report();
		}
		note();
	};
	note();
	document.addEventListener('hubbub:heard', () => {
		if (reading && timer === undefined && +$('live').dataset.after > told) {
			timer = setTimeout(report, Math.max(SOON, toldAt + OFTEN - Date.now()));
		}
	});
	document.addEventListener('visibilitychange', look);
	scroller.addEventListener('scroll', look, { passive: true });
	let leaving = false;
	addEventListener('pageshow', () => { leaving = false; });
	addEventListener('pagehide', () => {
		leaving = true; // there is no later
		if (timer !== undefined) report();
	});
	let unmarked = 0; // the message from which on a mark has not come through
	const markFrom = async id => {
		unmarked = id;
		if (await tellInTurn('unread', { from: id }) && unmarked === id) unmarked = 0;
	};
	// A line that was lost may have lost a word.
	document.addEventListener('hubbub:live', () => {
		if (unmarked) markFrom(unmarked);
		if (reading && +$('live').dataset.after > told) report();
	});

	// Marking as unread, at the row that the mouse is over. The keyboard and
	// touch have the page that the link in the head leads to.
	const mark = document.createElement('button');
	mark.type = 'button';
	mark.id = 'mark-here';
	mark.tabIndex = -1;
	mark.hidden = true;
	mark.title = list.dataset.mark;
	mark.setAttribute('aria-hidden', 'true');
	list.after(mark);
	let row = null;
	list.addEventListener('pointerover', event => {
		if (event.pointerType !== 'mouse') return;
		row = event.target.closest('li[id]');
		mark.hidden = !row;
		if (row) mark.style.top = row.offsetTop + 'px';
	});
	scroller.addEventListener('pointerleave', () => { mark.hidden = true; });
	mark.addEventListener('click', () => {
		const id = +row.id.slice(2);
		mark.hidden = true;
		held = true;
		clearTimeout(timer);
		timer = undefined;
		reading = false;
		note();
		markFrom(id);
		list.dataset.read = id - 1;
		list.dispatchEvent(new Event('hubbub:arrange'));
	});
	// Who writes reads again.
	$('composer').addEventListener('htmx:before:request', () => {
		held = false;
		look();
	});

	// Typing: told at once, and again while it goes on, before others forget it.
	// Nothing is told later, when the typing may be over; and nothing on a line
	// that does not work.
	const TYPES = 3000; // ms between two words; the server holds one for five seconds
	let typedAt = 0;
	body.addEventListener('input', () => {
		if (Date.now() < typedAt + TYPES || !body.value.trim() || $('live').dataset.state !== 'live') return;
		typedAt = Date.now();
		tell('typing', {});
	});
	// The post has ended it for others: what is typed next is told at once.
	$('composer').addEventListener('htmx:finally:request', () => { typedAt = 0; });
})();
