"""Headroom over the API."""

from __future__ import annotations


async def test_headroom_of_all_racks_and_of_one(client):
    async with client.get("/api/v1/headroom") as answer:
        racks = (await answer.json())["racks"]
    assert [rack["rack"] for rack in racks] == ["r08", "r03"]
    assert racks[0]["usable_watts"] == 1500.0
    assert racks[0]["usable_at_peak_watts"] == -200.0
    assert racks[0]["binding"] == racks[0]["rooms"][0]
    assert len(racks[0]["rooms"]) == 12
    assert racks[0]["lost"] == ["pdu-r08-a"]
    assert (racks[1]["usable_watts"], racks[1]["binding"]) == (None, None)


async def test_headroom_of_an_unknown_rack_names_the_nearest(client):
    async with client.get("/api/v1/headroom?rack=r07x") as answer:
        assert answer.status == 404
        assert "no rack of that id" in (await answer.json())["error"]
