"""Seats: when they end, and what ends with them."""

from __future__ import annotations

import time

from finetune30.client import Client, Session
from finetune30.ui.seats import Seat, Seats
from tests.api.service import Person, Service

DAY_S = 24 * 3600.0


def client_of(service: Service, person: Person) -> Client:
    return Client(service.url, session=Session(person.token, person.refresh_token))


def opened(seats: Seats, service: Service, person: Person, language: str = "en") -> Seat:
    client = client_of(service, person)
    return seats.open(client, client.me(), language)


def session_ends(service: Service, person: Person) -> None:
    until = time.monotonic() + 30
    while service.client.get("/me", headers={"Authorization": f"Bearer {person.token}"}).status_code != 401:
        assert time.monotonic() < until, "the session goes on"


def test_one_person_pushes_out_only_their_own_oldest(service: Service) -> None:
    seats, ana, bo = Seats(most_of_one=2), service.person(), service.person()
    his = opened(seats, service, bo)
    hers = [opened(seats, service, ana) for _ in range(3)]

    assert [seats.find(one.id) is one for one in hers] == [False, True, True]
    assert seats.find(his.id) is his
    session_ends(service, ana)
    seats.close_all(5)


def test_a_seat_nobody_looks_from_ends_by_itself_with_its_session_and_pages(service: Service) -> None:
    now = [0.0]
    seats, ana, told = Seats(clock=lambda: now[0]), service.person(), []
    seat = opened(seats, service, ana, "zh-TW")
    seat.at_end(lambda: told.append(seat.way_out))

    seats.sweep()
    assert told == []
    now[0] = DAY_S + 1
    seats.sweep()

    assert told == ["/logout?said=ended&language=zh-TW"]
    assert len(seats) == 0
    session_ends(service, ana)


def test_who_asks_too_late_is_told_at_once(ana: Seat) -> None:
    told: list[int] = []
    ana.end("left")
    ana.at_end(lambda: told.append(1))

    assert (told, ana.way_out) == ([1], "/logout?said=left&language=en")


def test_all_end_when_the_page_does_also_where_the_api_is_away(service: Service, cut_off: Seat) -> None:
    seats, ana = Seats(), service.person()
    opened(seats, service, ana)
    seats.open(cut_off.client, cut_off.person, "en")

    seats.close_all(5)

    assert len(seats) == 0
    session_ends(service, ana)
