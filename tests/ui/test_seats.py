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


def test_beyond_all_of_them_whoever_has_not_looked_for_longest_goes_and_never_who_comes(service: Service) -> None:
    seats, people = Seats(most=3), [service.person() for _ in range(4)]
    first, second, third = (opened(seats, service, one) for one in people[:3])
    assert seats.find(first.id) is first  # somebody looks from it

    fourth = opened(seats, service, people[3])

    assert [seats.find(one.id) is one for one in (first, second, third, fourth)] == [True, False, True, True]
    assert len(seats) == 3
    session_ends(service, people[1])
    assert service.client.get("/me", headers={"Authorization": f"Bearer {people[0].token}"}).status_code == 200
    seats.close_all(5)


def test_who_logs_in_again_and_again_holds_no_more_than_their_own(service: Service) -> None:
    seats, ana, bo = Seats(most=4, most_of_one=2), service.person(), service.person()
    his = opened(seats, service, bo)

    hers = [seats.open(client_of(service, ana), his.person.model_copy(update={"user_id": "a"}), "en") for _ in range(9)]

    assert len(seats) == 3
    assert seats.find(his.id) is his
    assert [seats.find(one.id) is one for one in hers] == [False] * 7 + [True] * 2
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
